"""Layers of Caffe's forks that enlarge maps, or move spatial positions to channels and back."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.forks.shape import needs_rank
from caffe2fx.layers.layer import Evidence, Layer, needs_indices
from caffe2fx.layers.registry import register
from caffe2fx.messages.message import Shape, field


class _Reorg(Layer):
    """Base of Reorg's layers: moves `stride` x `stride` positions to channels, or back."""

    stride: int
    reverse: bool

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        needs_rank(bottoms[0], 4)
        _, channels, height, width = bottoms[0]
        square = self.stride**2
        if self.stride < 1:
            raise ShapeMismatchError(f"needs a stride of 1 or more, got {self.stride}")
        if self.reverse and channels % square:
            raise ShapeMismatchError(f"needs channels divisible by {square}, got {channels}")
        if not self.reverse and (height % self.stride or width % self.stride):
            raise ShapeMismatchError(
                f"needs H and W divisible by stride {self.stride}, got {bottoms[0]}"
            )

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        batch, channels, height, width = bottoms[0]
        s = self.stride
        if self.reverse:
            return ((batch, channels // s**2, height * s, width * s),)
        return ((batch, channels * s**2, height // s, width // s),)


def _scattered(map_: Shape, stride: int) -> Tensor:
    """Return where darknet's loop over a map (N, C, H, W) reads each element, as flat indices."""
    _, channels, height, width = map_
    parts = channels // stride**2
    k, j, i = torch.meshgrid(
        torch.arange(channels), torch.arange(height), torch.arange(width), indexing="ij"
    )
    offset, channel = k // parts, k % parts
    column = i * stride + offset % stride
    row = j * stride + offset // stride
    return (column + width * stride * (row + height * stride * channel)).flatten()


@register
@dataclass(frozen=True, kw_only=True)
class Reorg(_Reorg):
    """Reorder by darknet's loop unchanged, over the bottom's own geometry in both directions.

    Forward it gathers over the map taken for one of C / stride^2 channels, which is no
    space-to-depth; with `reverse` it is depth-to-space with channel = offset * C / s^2 + c.
    """

    type = "Reorg"
    parameter = ("reorg_param", 149)
    message = "ReorgParameter"
    dialects = ("yolo", "intel", "opencv")

    stride: int = field(1, "uint32", absent=1)
    reverse: bool = field(2, "bool", False)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if bottoms[0][1] % self.stride**2:
            raise ShapeMismatchError(
                f"needs channels divisible by {self.stride}^2, got {bottoms[0][1]}"
            )

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        bottom = bottoms[0]
        shape = self.top_shapes([tuple(bottom.shape)], tops)[0]
        where = _scattered(tuple(bottom.shape), self.stride).to(bottom.device)
        flat = bottom.flatten(1)
        moved = flat[:, where.argsort()] if self.reverse else flat[:, where]
        return (moved.reshape(shape),)


@register
@dataclass(frozen=True, kw_only=True)
class ReorgSpace(_Reorg):
    """Move space to depth by channel = offset * C + c; `reverse` is darknet's loop over the top."""

    type = "Reorg"
    parameter = ("reorg_param", 149)
    message = "ReorgParameter"
    dialects = ("tpu_mlir",)

    stride: int = field(1, "uint32", absent=1)
    reverse: bool = field(2, "bool", False)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if self.reverse and bottoms[0][1] % self.stride**4:
            raise ShapeMismatchError(
                f"needs channels divisible by {self.stride}^4, got {bottoms[0][1]}"
            )

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        bottom, s = bottoms[0], self.stride
        shape = self.top_shapes([tuple(bottom.shape)], tops)[0]
        if self.reverse:
            where = _scattered(shape, s).to(bottom.device)
            return (bottom.flatten(1)[:, where.argsort()].reshape(shape),)
        batch, channels, height, width = bottom.shape
        parted = bottom.reshape(batch, channels, height // s, s, width // s, s)
        return (parted.permute(0, 3, 5, 1, 2, 4).reshape(shape),)


def scale_up(bottom: Tensor, height: int, width: int) -> Tensor:
    """Repeat every element `height` x `width` times."""
    return bottom.repeat_interleave(height, 2).repeat_interleave(width, 3)


@register
@dataclass(frozen=True, kw_only=True)
class Upsample(Layer):
    """Repeat every element `scale` x `scale` times: nearest-neighbour upsampling."""

    type = "Upsample"
    parameter = ("upsample_param", 150)
    message = "UpsampleParameter"
    dialects = ("yolo", "tpu_mlir", "brocolli")

    scale: int = field(1, "int32", 1)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        needs_rank(bottoms[0], 4)
        if self.scale < 1:
            raise ShapeMismatchError(f"needs a scale of 1 or more, got {self.scale}")

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (scale_up(bottoms[0], self.scale, self.scale),)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return nn.Upsample(scale_factor=self.scale, mode="nearest")


@register
@dataclass(frozen=True, kw_only=True)
class UpsampleStride(Layer):
    """Multiply by `scale` and repeat every element `stride` x `stride` times: Ascend's ATC."""

    type = "Upsample"
    parameter = ("upsample_param", 160)
    message = "UpsampleParameter"
    dialects = ("ascend",)
    evidence = Evidence.DOCUMENT

    scale: int = field(1, "int32", 1)
    stride: int = field(2, "int32", 2)
    stride_h: int | None = field(3, "int32", 2, absent=None)
    stride_w: int | None = field(4, "int32", 2, absent=None)

    @classmethod
    def matches_fields(cls, names: Set[str]) -> bool:
        # With a scale alone it is a net that nobody has rewritten for ATC yet.
        return bool(names - {"scale"}) or not names

    def _strides(self) -> tuple[int, int]:
        height = self.stride if self.stride_h is None else self.stride_h
        width = self.stride if self.stride_w is None else self.stride_w
        return height, width

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        needs_rank(bottoms[0], 4)
        if min(self._strides()) < 1:
            raise ShapeMismatchError(f"needs strides of 1 or more, got {self._strides()}")

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (scale_up(bottoms[0], *self._strides()) * self.scale,)


@register
@dataclass(frozen=True, kw_only=True)
class UpsampleMask(Layer):
    """Write each element at its index in the mask, a Pooling's second top; 0 elsewhere.

    As in tpu_mlir's Caffe, which requires the scale.
    """

    type = "Upsample"
    parameter = ("upsample_param", 137)
    message = "UpsampleParameter"
    dialects = ("segnet", "tpu_mlir", "synopsys")
    bottoms = (2, 2)

    scale: int = field(1, "int32", absent=2)
    scale_h: int | None = field(2, "uint32")
    scale_w: int | None = field(3, "uint32")
    pad_out_h: bool = field(4, "bool", False)
    pad_out_w: bool = field(5, "bool", False)
    upsample_h: int | None = field(6, "uint32")
    upsample_w: int | None = field(7, "uint32")

    def _canonical(self) -> dict[str, Any]:
        if (self.upsample_h is None) != (self.upsample_w is None):
            raise ShapeMismatchError("needs both upsample_h and upsample_w, got only one")
        if (self.scale_h is None) != (self.scale_w is None):
            raise ShapeMismatchError("needs both scale_h and scale_w, got only one")
        return {}

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        needs_rank(bottoms[0], 4)
        if bottoms[0] != bottoms[1]:
            raise ShapeMismatchError(f"needs a mask of {bottoms[0]}, got {bottoms[1]}")

    def _size(self, bottom: Shape) -> tuple[int, int]:
        if self.upsample_h is not None and self.upsample_w is not None:
            return self.upsample_h, self.upsample_w
        height = self.scale if self.scale_h is None else self.scale_h
        width = self.scale if self.scale_w is None else self.scale_w
        return bottom[2] * height - self.pad_out_h, bottom[3] * width - self.pad_out_w

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return ((*bottoms[0][:2], *self._size(bottoms[0])),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        shape = self.top_shapes([tuple(bottoms[0].shape)], tops)[0]
        top = bottoms[0].new_zeros(*shape[:2], prod(shape[2:]))
        where = bottoms[1].flatten(2).long()
        needs_indices("positions", where, prod(shape[2:]))
        return (top.scatter(2, where, bottoms[0].flatten(2)).reshape(shape),)
