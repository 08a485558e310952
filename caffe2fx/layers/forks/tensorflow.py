"""TensorFlow's layers in Synopsys' fork: DepthToSpace and the two resizes, of NHWC or NCHW."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.forks.shape import needs_rank
from caffe2fx.layers.forks.synopsys import SYNOPSYS
from caffe2fx.layers.layer import Evidence, Layer
from caffe2fx.layers.registry import register
from caffe2fx.messages.message import Shape, field, required


def _side_axes(data_format: str) -> tuple[int, int]:
    """Return the axes of height and width."""
    axes = {"NHWC": (1, 2), "NCHW": (2, 3)}
    if data_format not in axes:
        raise ShapeMismatchError(f"needs data_format NHWC or NCHW, got {data_format!r}")
    return axes[data_format]


@register
@dataclass(frozen=True, kw_only=True)
class DepthToSpace(Layer):
    """Move channels to squares of `block_size`: NHWC as in TensorFlow, NCHW as in ONNX (DCR).

    CRD is ONNX's other order, in which the channels of one square lie together.
    """

    type = "DepthToSpace"
    parameter = ("depth_to_space_param", 208)
    message = "DepthToSpaceParameter"
    dialects = SYNOPSYS
    evidence = Evidence.SOURCE

    block_size: int = required(1, "int32")
    data_format: str = field(2, "string", "NHWC")

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        needs_rank(bottoms[0], 4)
        if self.data_format not in (formats := ("NHWC", "NCHW", "DCR", "CRD")):
            raise ShapeMismatchError(f"needs data_format of {formats}, got {self.data_format!r}")
        channels = bottoms[0][3 if self.data_format == "NHWC" else 1]
        if self.block_size < 1 or channels % self.block_size**2:
            raise ShapeMismatchError(
                f"needs channels divisible by block_size^2, got {channels} and {self.block_size}"
            )

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        b = self.block_size
        if self.data_format == "CRD":
            return (F.pixel_shuffle(bottoms[0], b),)
        if self.data_format == "NHWC":
            n, h, w, _ = bottoms[0].shape
            parts = bottoms[0].reshape(n, h, w, b, b, -1).permute(0, 1, 3, 2, 4, 5)
            return (parts.reshape(n, h * b, w * b, -1),)
        n, _, h, w = bottoms[0].shape
        parts = bottoms[0].reshape(n, b, b, -1, h, w).permute(0, 3, 4, 1, 5, 2)
        return (parts.reshape(n, -1, h * b, w * b),)


@dataclass(frozen=True, kw_only=True)
class _Resize(Layer):
    """Base of the two resizes of height and width: to `output_*`, or by `scale_*`."""

    dialects = SYNOPSYS

    align_corners: bool = field(1, "bool", False)
    output_height: int | None = field(2, "int32")
    output_width: int | None = field(3, "int32")
    data_format: str = field(4, "string", "NHWC")
    scale_height: float = field(5, "float", 1.0)
    scale_width: float = field(6, "float", 1.0)
    half_pixel_centers: bool = field(7, "bool", False)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        needs_rank(bottoms[0], 4)
        if self.align_corners + self._shifts() > 1:
            raise ShapeMismatchError(f"needs one way to place pixels at most, got {self}")
        if min(self._sizes(bottoms[0])) < 1:
            raise ShapeMismatchError(f"needs sizes of 1 or more, got {self} of {bottoms[0]}")

    def _shifts(self) -> int:
        """Return how many of the fields are set that count from pixel centres."""
        return int(self.half_pixel_centers)

    def _sizes(self, bottom: Shape) -> tuple[int, ...]:
        high, wide = (bottom[axis] for axis in _side_axes(self.data_format))
        # As the fork does: in float32.
        scaled = (float(np.float32(high) * np.float32(self.scale_height)),
                  float(np.float32(wide) * np.float32(self.scale_width)))  # fmt: skip
        asked = self.output_height, self.output_width
        return tuple(floor(by) if to is None else to for by, to in zip(scaled, asked, strict=True))

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        top = list(bottoms[0])
        for axis, size in zip(_side_axes(self.data_format), self._sizes(bottoms[0]), strict=True):
            top[axis] = size
        return (tuple(top),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        top, sizes = bottoms[0], self._sizes(tuple(bottoms[0].shape))
        for axis, size in zip(_side_axes(self.data_format), sizes, strict=True):
            top = self._along(top, axis, size)
        return (top,)

    def _along(self, bottom: Tensor, axis: int, size: int) -> Tensor:
        """Return the bottom resized along one axis."""
        raise NotImplementedError

    def _step(self, before: int, size: int) -> Any:
        """Return the distance in the bottom between neighbouring pixels of the top."""
        if self.align_corners and size > 1:
            return np.float32(before - 1) / np.float32(size - 1)
        return np.float32(before) / np.float32(size)


def _index_select(bottom: Tensor, axis: int, index: Any) -> Tensor:
    return bottom.index_select(axis, torch.as_tensor(index.astype(np.int64), device=bottom.device))


@register
@dataclass(frozen=True, kw_only=True)
class ResizeNearestNeighbor(_Resize):
    """Resize to nearest neighbours: pixel i is the bottom's pixel at floor(i * step).

    With align_corners it is that at round(i * step), with half_pixel_centers at floor((i + .5) *
    step), and with half_pixel_onnx at floor((i + .5) * step - .5).
    """

    type = "ResizeNearestNeighbor"
    evidence = Evidence.SOURCE
    parameter = ("resize_nearest_neighbor_param", 210)
    message = "ResizeNearestNeighborParameter"

    half_pixel_onnx: bool = field(8, "bool", False)

    def _shifts(self) -> int:
        return self.half_pixel_centers + self.half_pixel_onnx

    def _along(self, bottom: Tensor, axis: int, size: int) -> Tensor:
        before = bottom.shape[axis]
        step, half = self._step(before, size), np.float32(0.5)
        positions = np.arange(size, dtype=np.float32)
        positions = (positions + half) * step if self._shifts() else positions * step
        positions = positions - half if self.half_pixel_onnx else positions
        if self.align_corners:
            positions = positions + half  # roundf of values that are not negative
        return _index_select(bottom, axis, np.floor(positions).clip(0, before - 1))


@register
@dataclass(frozen=True, kw_only=True)
class ResizeBilinear(_Resize):
    """Resize bilinearly: pixel i reads at i * step, or (i + .5) * step - .5 by pixel centres.

    With pytorch_half_pixel a size of 1 takes the first pixel.
    """

    type = "ResizeBilinear"
    evidence = Evidence.SOURCE
    parameter = ("resize_bilinear_param", 226)
    message = "ResizeBilinearParameter"

    pytorch_half_pixel: bool = field(8, "bool", False)

    def _shifts(self) -> int:
        return self.half_pixel_centers + self.pytorch_half_pixel

    def _along(self, bottom: Tensor, axis: int, size: int) -> Tensor:
        before = bottom.shape[axis]
        step, half = self._step(before, size), np.float32(0.5)
        positions = np.arange(size, dtype=np.float32)
        positions = (positions + half) * step - half if self._shifts() else positions * step
        positions = (
            positions - positions - half if self.pytorch_half_pixel and size == 1 else positions
        )
        low, high = np.floor(positions).clip(0, None), np.ceil(positions).clip(0, before - 1)
        lower = _index_select(bottom, axis, low)
        if (low == high).all():
            return lower
        upper = _index_select(bottom, axis, high)
        share = torch.as_tensor(positions - np.floor(positions)).to(bottom)
        share = share.reshape([-1 if at == axis else 1 for at in range(bottom.dim())])
        return lower + (upper - lower) * share
