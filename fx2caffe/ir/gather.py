"""Gather: a constant choice of elements over consecutive axes that does not factor by axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from torch import Tensor

from caffe2fx.messages.message import Shape
from fx2caffe.ir.record import IntermediateRecord

DENSE = 1 << 22  # elements in a one-hot matrix: 16 MB of weights
ROWS = 1 << 24  # row indices that float32 represents exactly


@dataclass(frozen=True, kw_only=True)
class Gather(IntermediateRecord):
    """Gather from axes `first` to `last`, flattened, by a blob of flat indices of shape `sizes`."""

    type = "Gather"

    first: int
    last: int
    sizes: Shape

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        return ((prod(self.sizes),),)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return ((*bottoms[0][: self.first], *self.sizes, *bottoms[0][self.last + 1 :]),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        flat = bottoms[0].flatten(self.first, self.last)
        top = flat.index_select(self.first, blobs[0].long())
        return (top.reshape(self.top_shapes([tuple(bottoms[0].shape)], 1)[0]),)
