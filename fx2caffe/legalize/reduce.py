"""Reduce: sums, means and maxima over any axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from math import prod

import torch
from torch import Tensor

from caffe2fx.layer import axis_of
from caffe2fx.layers import (
    AbsVal,
    ArgMax,
    Eltwise,
    EltwiseOp,
    Pooling,
    PoolMethod,
    Power,
    Reduction,
    ReductionOp,
    Slice,
)
from caffe2fx.message import Shape
from fx2caffe.emit import Emitter, Symbol
from fx2caffe.legalize.axis_matrix import AxisMatrix
from fx2caffe.legalize.rules import LayerCall, Tops
from fx2caffe.legalize.wide import Wide
from fx2caffe.reshaping import reshaped_source

PARTS = 16  # of an axis that one product takes at once


class ReduceOp(Enum):
    """How many numbers become one."""

    SUM = "SUM"
    MEAN = "MEAN"
    ASUM = "ASUM"  # of magnitudes
    SUMSQ = "SUMSQ"  # of squares
    MAX = "MAX"
    PROD = "PROD"


_MEANING: dict[ReduceOp, Callable[..., Tensor]] = {
    ReduceOp.SUM: torch.sum,
    ReduceOp.MEAN: torch.mean,
    ReduceOp.ASUM: lambda bottom, *rest: bottom.abs().sum(*rest),
    ReduceOp.SUMSQ: lambda bottom, *rest: bottom.square().sum(*rest),
    ReduceOp.MAX: torch.amax,
    ReduceOp.PROD: lambda bottom, axes, keepdim: _product(bottom, axes, keepdim),
}


def _product(bottom: Tensor, axes: Shape, keepdim: bool) -> Tensor:
    for axis in reversed(axes):
        bottom = bottom.prod(axis, keepdim)
    return bottom


@dataclass(frozen=True, kw_only=True)
class Reduce(Wide):
    """One number of all along `axes` (counted from the front, ascending, at least one)."""

    type = "Reduce"

    op: ReduceOp
    axes: Shape
    keepdim: bool = False

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        kept = [
            1 if axis in self.axes else size
            for axis, size in enumerate(bottoms[0])
            if self.keepdim or axis not in self.axes
        ]
        return (tuple(kept),)

    def reduction(self, bottoms: Sequence[Shape]) -> int:
        return prod(bottoms[0][axis] for axis in self.axes)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (_MEANING[self.op](bottoms[0], self.axes, self.keepdim),)


def reduce(net: Emitter, call: LayerCall[Reduce]) -> Tops:
    """Each run of neighbouring axes by itself, from the last to the first.

    before: Reduce{SUM axes: 1, 3} of (N,C,H,W)
    after:  Reduction{SUM axis: 3}, Reshape, Convolution 1x1 of ones, Reshape
    """
    layer, bottoms = call.layer, call.bottoms
    bottom = top = bottoms[0]
    if layer.op in _GLOBAL and layer.axes == (2, 3) and bottom.rank == 4:
        pool = Pooling(pool=_GLOBAL[layer.op], global_pooling=True)
        top = net.add(pool, bottom, role="" if layer.keepdim else "pool")
    else:
        for first, last in reversed(_runs(layer.axes)):
            top = _one_run(net, layer, top, first, last)
            # What is summed along some axes is already made of squares or magnitudes.
            layer = layer.replace(op=ReduceOp.SUM) if layer.op in INNER else layer
    shape, other = (layer.top_shapes([sizes], 1)[0] for sizes in (bottom.shape, bottom.other))
    return (reshaped_source(net, top, shape, other),)


_GLOBAL = {ReduceOp.MEAN: PoolMethod.AVE, ReduceOp.MAX: PoolMethod.MAX}
# What is summed of each number.
INNER = {ReduceOp.SUMSQ: Power(power=2), ReduceOp.ASUM: AbsVal()}


def leaves_ones(op: ReduceOp, axes: Shape, rank: int) -> bool:
    """Whether the layers leave axes of 1, as keepdim does: a shape that comes without a reshape."""
    pooled = op in _GLOBAL and axes == (2, 3) and rank == 4
    return pooled or op in (ReduceOp.MAX, ReduceOp.PROD) or axes[-1:] != (rank - 1,)


def _runs(axes: Shape) -> list[tuple[int, int]]:
    """(0, 2, 3) as the runs (0, 0) and (2, 3)."""
    breaks = [i for i, (a, b) in enumerate(pairwise(axes), 1) if b != a + 1]
    return [(axes[start], axes[end - 1]) for start, end in pairwise([0, *breaks, len(axes)])]


def _one_run(net: Emitter, layer: Reduce, bottom: Symbol, first: int, last: int) -> Symbol:
    """The axes first..last made one of size 1; trailing ones vanish, except of a maximum."""
    trailing = not leaves_ones(layer.op, (last,), bottom.rank)
    final = first == layer.axes[0] and layer.keepdim is not trailing
    role = "" if final else f"axis{first}"
    if trailing:
        reduction = Reduction(operation=ReductionOp[layer.op.name], axis=first)
        return net.add(reduction, bottom, role=role)
    bottom = _merged(net, bottom, first, last)
    if layer.op is ReduceOp.MAX:
        return net.add(ArgMax(axis=first, out_max_val=True), bottom, role=role)
    if layer.op is ReduceOp.PROD:
        return _multiplied(net, bottom, first, role)
    if layer.op in INNER:
        bottom = net.add(INNER[layer.op], bottom, role="inner")
    size = bottom.fixed(first)
    weight = 1 / size if layer.op is ReduceOp.MEAN else 1.0
    row = torch.full((1, size), weight, dtype=torch.float64)
    return net.add(AxisMatrix(axis=first, rows=1), bottom, blobs=[row], role=role)


def _multiplied(net: Emitter, bottom: Symbol, axis: int, role: str) -> Symbol:
    """The product of all numbers of an axis: equal parts of it at once, until one is left."""
    size = bottom.fixed(axis)
    if size == 1:
        return bottom
    count = min(size, PARTS)
    length = size // count
    points = tuple(length * index for index in range(1, size // length + (size % length > 0)))
    cut = Slice(axis=axis, slice_point=points)
    parts = net.add_many(cut, bottom, role="parts", tops=1 + len(points))
    whole = parts[: size // length]
    product = net.add(Eltwise(operation=EltwiseOp.PROD), *whole, role=role)
    product = _multiplied(net, product, axis, role)
    if len(whole) == len(parts):
        return product
    rest = _multiplied(net, parts[-1], axis, role)
    return net.add(Eltwise(operation=EltwiseOp.PROD), product, rest, role=role)


def _merged(net: Emitter, bottom: Symbol, first: int, last: int) -> Symbol:
    shape, other = (
        (*sizes[:first], prod(sizes[first : last + 1]), *sizes[last + 1 :])
        for sizes in (bottom.shape, bottom.other)
    )
    return reshaped_source(net, bottom, shape, other, role="merged")


def by_reduce(net: Emitter, call: LayerCall[Reduction]) -> Tops:
    """before: Reduction{MEAN axis: 2 coeff: 3}     after: Reduce{MEAN axes: 2, 3}, Power{3}"""
    layer, bottom = call.layer, call.bottom
    axes = tuple(range(axis_of(layer.axis, bottom.rank), bottom.rank))
    wide = Reduce(op=ReduceOp[layer.operation.name], axes=axes)
    if layer.coeff == 1:
        return (net.add(wide, bottom),)
    return (net.add(Power(scale=layer.coeff), net.add(wide, bottom, role="reduced")),)
