"""Reduce: sums, means and maxima over any axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from math import prod

import torch
from torch import Tensor

from caffe2fx.layers import (
    AbsVal,
    ArgMax,
    Pooling,
    PoolMethod,
    Power,
    Reduction,
    ReductionOp,
)
from caffe2fx.message import Shape
from fx2caffe.emit import Emitter, Refused, Symbol
from fx2caffe.legalize.axis_matrix import AxisMatrix
from fx2caffe.legalize.rules import rewrites
from fx2caffe.legalize.wide import Wide
from fx2caffe.reshaping import reshaped


class ReduceOp(Enum):
    """How many numbers become one."""

    SUM = "SUM"
    MEAN = "MEAN"
    ASUM = "ASUM"  # of magnitudes
    SUMSQ = "SUMSQ"  # of squares
    MAX = "MAX"


_MEANING: dict[ReduceOp, Callable[..., Tensor]] = {
    ReduceOp.SUM: torch.sum,
    ReduceOp.MEAN: torch.mean,
    ReduceOp.ASUM: lambda bottom, *rest: bottom.abs().sum(*rest),
    ReduceOp.SUMSQ: lambda bottom, *rest: bottom.square().sum(*rest),
    ReduceOp.MAX: torch.amax,
}


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


@rewrites(Reduce)
def reduce(
    net: Emitter, layer: Reduce, bottoms: Sequence[Symbol], blobs: Sequence[Tensor], tops: int
) -> tuple[Symbol, ...]:
    """Each run of neighbouring axes by itself, from the last to the first.

    before: Reduce{SUM axes: 1, 3} of (N,C,H,W)
    after:  Reduction{SUM axis: 3}, Reshape, Convolution 1x1 of ones, Reshape
    """
    top = bottoms[0]
    if layer.op is ReduceOp.MEAN and layer.axes == (2, 3) and top.rank == 4:
        top = net.add(Pooling(pool=PoolMethod.AVE, global_pooling=True), top)
    else:
        for first, last in reversed(_runs(layer.axes)):
            top = _one_run(net, layer.op, top, first, last)
            # A sum of squares, along the next axes, is a sum of what is summed already.
            layer = layer if layer.op not in _INNER else layer.replace(op=ReduceOp.SUM)
    return (_shaped(net, layer, top, bottoms[0]),)


_INNER = {
    ReduceOp.SUMSQ: Power(power=2),
    ReduceOp.ASUM: AbsVal(),
}
_TRAILING = {
    ReduceOp.SUM: ReductionOp.SUM,
    ReduceOp.MEAN: ReductionOp.MEAN,
    ReduceOp.ASUM: ReductionOp.ASUM,
    ReduceOp.SUMSQ: ReductionOp.SUMSQ,
}


def _runs(axes: Shape) -> list[tuple[int, int]]:
    """(0, 2, 3) as the runs (0, 0) and (2, 3)."""
    breaks = [i for i, (a, b) in enumerate(pairwise(axes), 1) if b != a + 1]
    return [
        (axes[start], axes[end - 1]) for start, end in pairwise([0, *breaks, len(axes)])
    ]


def _one_run(net: Emitter, op: ReduceOp, bottom: Symbol, first: int, last: int) -> Symbol:
    """The axes first..last reduced; those before stay, and those after, if there are any."""
    if op in _TRAILING and last == bottom.rank - 1:
        return net.add(Reduction(operation=_TRAILING[op], axis=first), bottom, role=f"axis{first}")
    for axis in range(first, last + 1):
        bottom.fixed(axis)
    flat = _merged(net, bottom, first, last)
    if op is ReduceOp.MAX:
        best = net.add(ArgMax(axis=first, out_max_val=True), flat, role=f"max{first}")
    else:
        flat = net.add(_INNER[op], flat, role="inner") if op in _INNER else flat
        best = _summed(net, op, flat, first)
    return best


def _merged(net: Emitter, bottom: Symbol, first: int, last: int) -> Symbol:
    shape, other = (
        (*sizes[:first], prod(sizes[first : last + 1]), *sizes[last + 1 :])
        for sizes in (bottom.shape, bottom.other)
    )
    return reshaped(net, bottom, shape, other, role="merged")


def _summed(net: Emitter, op: ReduceOp, bottom: Symbol, axis: int) -> Symbol:
    size = bottom.shape[axis]
    weight = 1 / size if op is ReduceOp.MEAN else 1.0
    row = torch.full((1, size), weight, dtype=torch.float64)
    return net.add(AxisMatrix(axis=axis, rows=1), bottom, blobs=[row], role=f"axis{axis}")


def _shaped(net: Emitter, layer: Reduce, top: Symbol, bottom: Symbol) -> Symbol:
    shape, other = (layer.top_shapes([sizes], 1)[0] for sizes in (bottom.shape, bottom.other))
    return reshaped(net, top, shape, other)


def check_axes(axes: Shape, rank: int) -> None:
    """Raise Refused for a reduction over nothing."""
    if not axes or rank == 0:
        raise Refused("needs an axis to reduce, got a scalar")
