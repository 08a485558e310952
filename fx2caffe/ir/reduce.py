"""Reduce: sums, means, products and extremes over a set of axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from math import prod

import torch
from torch import Tensor

from caffe2fx.layers import AbsVal, PoolMethod, Power
from caffe2fx.messages.message import Shape
from fx2caffe.ir.record import IntermediateRecord


class ReduceOp(Enum):
    """Selects the reduction that Reduce computes."""

    SUM = "SUM"
    MEAN = "MEAN"
    ASUM = "ASUM"  # sum of magnitudes
    SUMSQ = "SUMSQ"  # sum of squares
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
class Reduce(IntermediateRecord):
    """Reduce over `axes` (counted from the front, ascending, at least one)."""

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

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        return prod(bottoms[0][axis] for axis in self.axes)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (_MEANING[self.op](bottoms[0], self.axes, self.keepdim),)


GLOBAL = {ReduceOp.MEAN: PoolMethod.AVE, ReduceOp.MAX: PoolMethod.MAX}
# The elementwise function that is applied before the sum.
INNER = {ReduceOp.SUMSQ: Power(power=2), ReduceOp.ASUM: AbsVal()}


def leaves_ones(op: ReduceOp, axes: Shape, rank: int) -> bool:
    """Return whether the layers keep axes of size 1, as keepdim does, without a reshape."""
    pooled = op in GLOBAL and axes == (2, 3) and rank == 4
    return pooled or op in (ReduceOp.MAX, ReduceOp.PROD) or axes[-1:] != (rank - 1,)
