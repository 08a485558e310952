"""A net without a weights file starts as Caffe starts it: each blob by its filler."""

from __future__ import annotations

from dataclasses import replace

from caffe2fx.errors import CaffeError
from caffe2fx.layers.fillers import fill
from caffe2fx.layers.layer import Layer
from caffe2fx.messages.common import Filler
from caffe2fx.messages.message import Shape
from caffe2fx.net.net import Net
from caffe2fx.net.shared_weights import with_shared_blobs
from caffe2fx.net.step import Step


def with_fresh_blobs(net: Net) -> Net:
    """The net with every weight blob as Caffe itself would start it, or as the text has it."""
    shapes = net.shapes()
    steps = tuple(_fresh(step, [shapes[bottom] for bottom in step.bottoms]) for step in net.steps)
    # Of shared blobs the owner's counts, whatever the others' fillers are.
    owners_last = [step.name for step in reversed(steps)]
    return with_shared_blobs(replace(net, steps=steps), owners_last)


def _fresh(step: Step, bottoms: list[Shape]) -> Step:
    if step.blobs or step.dynamic:
        return step
    shapes = step.layer.blob_shapes(bottoms)
    fillers = (*fillers_of(step.layer, len(shapes)), *(Filler(),) * len(shapes))
    try:
        blobs = tuple(fill(filler, shape) for filler, shape in zip(fillers, shapes, strict=False))
    except CaffeError as error:
        raise step.fault(error) from None
    return replace(step, blobs=blobs)


def fillers_of(layer: Layer, count: int) -> tuple[Filler, ...]:
    """The fillers of a layer's blobs in file order; Caffe's default is the constant 0."""
    if own := layer.blob_fillers(count):
        return own
    first = getattr(layer, "weight_filler", None) or getattr(layer, "filler", None)
    bias = getattr(layer, "bias_filler", None) or Filler()
    if first is None:
        first = Filler(value=_STARTS.get(layer.type, 0.0))
    return (bias,) if layer.type == "Scale" and count < 1 + layer.bias_term else (first, bias)  # type: ignore[attr-defined]


_STARTS = {"Scale": 1.0, "PReLU": 0.25}
