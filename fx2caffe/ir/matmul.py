"""MatMul: batched matrix products of two bottoms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from caffe2fx.messages.message import Shape
from fx2caffe.ir.record import IntermediateRecord


@dataclass(frozen=True, kw_only=True)
class MatMul(IntermediateRecord):
    """Multiply (..., M, K) by (..., K, N), or by (..., N, K) if `transposed`.

    The leading axes agree, or one bottom has none.
    """

    type = "MatMul"
    bottoms = (2, 2)

    transposed: bool = False

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        first, second = bottoms
        lead = first[:-2] if len(first) > 2 else second[:-2]
        return ((*lead, first[-2], second[-2 if self.transposed else -1]),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        first, second = bottoms
        return (torch.matmul(first, second.mT if self.transposed else second),)

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        return bottoms[0][-1]
