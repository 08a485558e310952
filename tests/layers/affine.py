"""Rows of Scale and Bias."""

from __future__ import annotations

from caffe2fx.layers import Bias, Scale
from caffe2fx.messages.common import Filler
from caffe2fx.messages.message import Shape
from tests.layers.row import Refusal, Row

IMAGE = (2, 3, 4, 5)


def affine(kind: type[Scale] | type[Bias], id: str) -> tuple[Row, ...]:
    """Return the rows that Scale and Bias have in common."""

    def row(name: str, *bottoms: Shape, axis: int = 1, num_axes: int = 1) -> Row:
        return Row(f"{id} {name}", kind(axis=axis, num_axes=num_axes), bottoms)

    return (
        row("by channel", IMAGE),
        row("of rank 2", (3, 4)),
        row("axis 0", IMAGE, axis=0),
        row("axis 2", IMAGE, axis=2),
        row("axis -1", IMAGE, axis=-1),
        row("axis -3, two axes", IMAGE, axis=-3, num_axes=2),
        row("num_axes 2", IMAGE, num_axes=2),
        row("num_axes -1", IMAGE, num_axes=-1),
        row("all axes", IMAGE, axis=0, num_axes=-1),
        row("scalar", IMAGE, num_axes=0),
        row("second bottom", IMAGE, (3,)),
        row("second bottom of two axes", IMAGE, (3, 4)),
        row("second bottom to the end", IMAGE, (4, 5), axis=2),
        row("second bottom from 0", IMAGE, (2, 3), axis=0),
        row("second bottom, the whole shape", IMAGE, IMAGE, axis=0),
        row("second bottom, axis -2", IMAGE, (4,), axis=-2),
        row("second bottom, num_axes idle", IMAGE, (3,), num_axes=2),
        row("second bottom, a scalar", IMAGE, ()),
        row("second bottom, a scalar, of rank 1", (3,), ()),
        row("second bottom, both scalars", (), ()),
    )


ROWS = (
    *affine(Scale, "scale"),
    *affine(Bias, "bias"),
    Row("scale with bias", Scale(bias_term=True), (IMAGE,)),
    Row("scale with bias, num_axes -1", Scale(bias_term=True, axis=2, num_axes=-1), (IMAGE,)),
    Row("scale with bias, scalar", Scale(bias_term=True, num_axes=0), (IMAGE,)),
    Row("scale second bottom and bias", Scale(bias_term=True, axis=0), (IMAGE, (2, 3))),
    Row("scale fillers", Scale(bias_term=True, filler=Filler(value=2), bias_filler=Filler(value=3)),
        (IMAGE,)),
    Row("bias filler", Bias(filler=Filler(type="uniform", min=-1)), (IMAGE,)),
)  # fmt: skip


def _affine_refusals(type_: str, field: str) -> tuple[Refusal, ...]:
    def row(id: str, reason: str, parameters: str, *bottoms: Shape) -> Refusal:
        return Refusal(f"{type_} {id}", type_, reason, f"{field} {{ {parameters} }}",
                       bottoms or (IMAGE,))  # fmt: skip

    return (
        row("axis", r"needs an axis in \[-4, 4\), got 4", "axis: 4"),
        row("num_axes", r"needs axis \+ num_axes within 4 axes, got 2 \+ 3", "axis: 2 num_axes: 3"),
        row("num_axes -2", "needs num_axes of -1 or more, got -2", "num_axes: -2"),
        row("second bottom", "needs a second bottom equal to axes", "", IMAGE, (4,)),
        row("second bottom of size 1", "needs a second bottom equal to axes", "", IMAGE, (1,)),
        row("second bottom too long", "needs a second bottom equal to axes", "", IMAGE, IMAGE),
        row("three bottoms", r"needs 1 to 2 bottom\(s\), got 3", "", IMAGE, (3,), (3,)),
    )


REFUSALS = (
    *_affine_refusals("Scale", "scale_param"),
    *_affine_refusals("Bias", "bias_param"),
)
