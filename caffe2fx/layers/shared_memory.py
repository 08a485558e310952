"""Changes of a blob that a layer causes by overwriting another blob of the same memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from caffe2fx.layers.layer import Layer
from caffe2fx.messages.message import Shape


@dataclass(frozen=True, kw_only=True)
class SharedMemory(Layer):
    """A blob after another one, whose memory it shares, was overwritten.

    Of the two bottoms the first holds the new content, the second is the blob as it was. Caffe has
    no such layer and needs none: this one represents the effect of its shared memory.
    """

    type = "(shared memory)"
    message = ""
    bottoms = (2, 2)
    in_files = False

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return (tuple(bottoms[1]),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (bottoms[0].reshape(bottoms[1].shape),)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return ReshapeAs()


class ReshapeAs(nn.Module):
    """Reshape the first tensor to the shape of the second."""

    def forward(self, new: Tensor, old: Tensor) -> Tensor:
        return new.reshape(old.shape)
