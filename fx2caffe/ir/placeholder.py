"""Unsupported: the record of an operation that the target does not have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from caffe2fx.layers.layer import MANY, Layer
from caffe2fx.messages.message import Shape
from fx2caffe.ir.record import IntermediateRecord


@dataclass(frozen=True, kw_only=True)
class Unsupported(IntermediateRecord):
    """Represents a refused operation, with the shapes of its tops and the reason.

    `refused` is the record that no rule decomposes, None where there was no record at all.
    """

    type = "Unsupported"
    bottoms = (0, MANY)
    tops = (1, MANY)

    op: str
    reason: str
    shapes: tuple[Shape, ...]
    refused: Layer | None = None

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        return () if self.refused is None else self.refused.blob_shapes(bottoms)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return self.shapes

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        if self.refused is None:
            raise NotImplementedError(f"{self.op} {self.reason}")
        return self.refused.compute(bottoms, blobs, tops)
