"""Layers that no file has: Caffe's own writes to a net's blobs, as steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from caffe2fx.layers.layer import Layer
from caffe2fx.messages.message import Shape


@dataclass(frozen=True, kw_only=True)
class SharedMemory(Layer):
    """Represents a blob after another one that shares its memory was overwritten.

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


@dataclass(frozen=True, kw_only=True)
class WeightedTop(Layer):
    """Represents the output that Caffe adds for a top that has a loss_weight and is read.

    Its Split hands the loss_weight to a top of its own, which no layer reads. It has the memory of
    the bottom.
    """

    type = "(weighted top)"
    message = ""
    in_files = False
    shares_memory = "always"

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return (tuple(bottoms[0]),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (bottoms[0],)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return nn.Identity()


class ReshapeAs(nn.Module):
    """Reshape the first tensor to the shape of the second."""

    def forward(self, new: Tensor, old: Tensor) -> Tensor:
        return new.reshape(old.shape)
