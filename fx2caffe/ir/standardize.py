"""Standardize: the last axes shifted to mean 0 and scaled to variance 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from torch import Tensor

from caffe2fx.messages.message import Shape
from fx2caffe.ir.record import IntermediateRecord


@dataclass(frozen=True, kw_only=True)
class Standardize(IntermediateRecord):
    """Compute (x - mean) / sqrt(variance + eps) over the axes from `axis` on (biased variance).

    If not `centred`, compute x / sqrt(mean of squares + eps).
    """

    type = "Standardize"

    axis: int
    eps: float
    centred: bool = True

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return (tuple(bottoms[0]),)

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        return prod(bottoms[0][self.axis :])

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        bottom, axes = bottoms[0], tuple(range(self.axis, bottoms[0].dim()))
        centred = bottom - bottom.mean(axes, keepdim=True) if self.centred else bottom
        return (centred / (centred.square().mean(axes, keepdim=True) + self.eps).sqrt(),)
