"""AxisMatrix: the product of one axis with a constant matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from caffe2fx.messages.message import Shape
from fx2caffe.ir.record import IntermediateRecord


@dataclass(frozen=True, kw_only=True)
class AxisMatrix(IntermediateRecord):
    """Compute y = M x along `axis` (counted from the front); the blob is M, (rows, axis size)."""

    type = "AxisMatrix"

    axis: int
    rows: int

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        return ((self.rows, bottoms[0][self.axis]),)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return ((*bottoms[0][: self.axis], self.rows, *bottoms[0][self.axis + 1 :]),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        moved = bottoms[0].movedim(self.axis, -1)
        return ((moved @ blobs[0].t()).movedim(-1, self.axis),)
