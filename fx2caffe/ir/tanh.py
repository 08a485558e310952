"""FineTanH: tanh with an error relative to itself, also near 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from caffe2fx.messages.message import Shape
from fx2caffe.ir.record import IntermediateRecord


@dataclass(frozen=True, kw_only=True)
class FineTanH(IntermediateRecord):
    """Compute tanh(x) so that the error near 0 is relative to x, as functions made of it need."""

    type = "FineTanH"
    bottoms = (1, 1)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return (tuple(bottoms[0]),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (bottoms[0].tanh(),)
