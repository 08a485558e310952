"""Layers that reduce many elements to one, or to the top_k largest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import inf, prod

import torch
from torch import Tensor

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.layer import Layer, axis_of
from caffe2fx.layers.registry import register
from caffe2fx.messages.message import Shape, field


class ReductionOp(IntEnum):
    """Selects the operation that reduces the elements."""

    SUM = 1
    ASUM = 2
    SUMSQ = 3
    MEAN = 4


_REDUCE: Mapping[ReductionOp, Callable[[Tensor], Tensor]] = {
    ReductionOp.SUM: lambda rows: rows.sum(-1),
    ReductionOp.ASUM: lambda rows: rows.abs().sum(-1),
    ReductionOp.SUMSQ: lambda rows: rows.square().sum(-1),
    ReductionOp.MEAN: lambda rows: rows.mean(-1),
}


@register
@dataclass(frozen=True, kw_only=True)
class Reduction(Layer):
    """Compute coeff times the sum (of magnitudes, of squares) or mean over the axes from `axis`."""

    type = "Reduction"
    parameter = ("reduction_param", 136)
    message = "ReductionParameter"

    operation: ReductionOp = field(1, ReductionOp, ReductionOp.SUM)
    axis: int = field(2, "int32", 0)
    coeff: float = field(3, "float", 1.0)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        axis_of(self.axis, len(bottoms[0]))

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return (tuple(bottoms[0][: axis_of(self.axis, len(bottoms[0]))]),)

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        return prod(bottoms[0][axis_of(self.axis, len(bottoms[0])) :])

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        rows = bottoms[0].flatten(axis_of(self.axis, bottoms[0].dim()))
        return (_REDUCE[self.operation](rows) * self.coeff,)


@register
@dataclass(frozen=True, kw_only=True)
class ArgMax(Layer):
    """Select the top_k largest elements in descending order: their indices, or their values.

    Of equal elements the last one counts as the larger. With an axis, that axis becomes top_k long
    and holds indices, or values with out_max_val. Without one, all axes but the first are searched
    as one: the top is (N, 1, top_k, 1...), or (N, 2, top_k, 1...) with out_max_val, indices and
    then values.
    """

    type = "ArgMax"
    parameter = ("argmax_param", 103)
    message = "ArgMaxParameter"

    nan_needs = "needs elements that are not NaN: Caffe's sort leaves those in any order"

    out_max_val: bool = field(1, "bool", False)
    top_k: int = field(2, "uint32", 1)
    axis: int | None = field(3, "int32")

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        bottom = bottoms[0]
        if not bottom:
            raise ShapeMismatchError("needs a bottom of rank 1 or more, got a scalar")
        searched = prod(bottom[1:])
        if self.axis is not None:
            searched = bottom[axis_of(self.axis, len(bottom))]
        if not 1 <= self.top_k <= searched:
            raise ShapeMismatchError(f"needs top_k from 1 to {searched}, got {self.top_k}")

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        bottom = bottoms[0]
        if self.axis is None:
            ones = (1,) * (len(bottom) - 3)
            return ((bottom[0], 2 if self.out_max_val else 1, self.top_k, *ones),)
        axis = axis_of(self.axis, len(bottom))
        return ((*bottom[:axis], self.top_k, *bottom[axis + 1 :]),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        bottom = bottoms[0]
        if self.axis is not None:
            indices, values = self._best(bottom, self.axis)
            return (values if self.out_max_val else indices,)
        indices, values = self._best(bottom.flatten(1) if bottom.dim() > 1 else bottom[:, None], 1)
        rows = [indices, values] if self.out_max_val else [indices]
        shape = self.top_shapes([tuple(bottom.shape)], tops)[0]
        return (torch.stack(rows, 1).reshape(shape),)

    def compute_losing_nan(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        bottom = bottoms[0]
        return self.compute([torch.where(bottom.isnan(), -inf, bottom)], blobs, tops)

    def _best(self, bottom: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        # Sorted back to front: a stable sort then puts the last of equal elements first.
        values, order = bottom.flip(axis).sort(dim=axis, descending=True, stable=True)
        indices = bottom.shape[axis] - 1 - order
        best = indices.narrow(axis, 0, self.top_k).to(bottom.dtype)
        return best, values.narrow(axis, 0, self.top_k)
