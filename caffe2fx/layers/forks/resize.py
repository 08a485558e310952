"""Interp: DeepLab's and PSPNet's resizing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.forks.shape import SSD, needs_rank
from caffe2fx.layers.layer import Layer
from caffe2fx.layers.registry import register
from caffe2fx.messages.message import Shape, field

Sizes = tuple[int, int]


@register
@dataclass(frozen=True, kw_only=True)
class Interp(Layer):
    """Resize bilinearly with the corners aligned.

    First the border is cut off by pad_beg and pad_end (0 or negative); then the size is
    `height` and `width`, that of a second bottom, or shrunk to (H - 1) // s + 1 and zoomed to
    H + (H - 1) * (z - 1).
    """

    type = "Interp"
    parameter = ("interp_param", 163)
    message = "InterpParameter"
    dialects = ("deeplab", "pspnet", *SSD)
    bottoms = (1, 2)

    height: int = field(1, "int32", 0)
    width: int = field(2, "int32", 0)
    zoom_factor: int = field(3, "int32", 1)
    shrink_factor: int = field(4, "int32", 1)
    pad_beg: int = field(5, "int32", 0)
    pad_end: int = field(6, "int32", 0)
    use_blob_size: bool = field(8, "bool", False)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        for bottom in bottoms:
            needs_rank(bottom, 4)
        if self.pad_beg > 0 or self.pad_end > 0:
            raise ShapeMismatchError(
                f"needs pad_beg and pad_end of 0 or less, got {self.pad_beg} and {self.pad_end}"
            )
        if min(self.zoom_factor, self.shrink_factor) < 1:
            raise ShapeMismatchError(
                f"needs factors of 1 or more, got {self.zoom_factor} and {self.shrink_factor}"
            )
        self._check_ways(len(bottoms))
        if min(*self._cut(bottoms[0]), *self.top_shapes(bottoms, tops)[0][2:]) < 1:
            raise ShapeMismatchError(f"needs sizes of 1 or more, got {self} of {bottoms[0]}")

    def _check_ways(self, bottoms: int) -> None:
        if min(self.height, self.width) < 0:
            raise ShapeMismatchError(
                f"needs height and width of 1 or more, got {self.height} and {self.width}"
            )
        if (self.height > 0) != (self.width > 0):
            raise ShapeMismatchError("needs both height and width, got only one")
        if self.use_blob_size != (bottoms == 2):
            raise ShapeMismatchError(
                f"needs 2 bottoms with use_blob_size and 1 without, got {bottoms}"
            )
        factors = (self.zoom_factor, self.shrink_factor) != (1, 1)
        if (self.height > 0) + self.use_blob_size + factors > 1:
            raise ShapeMismatchError(
                "needs height and width, use_blob_size, or factors: which of them rules "
                "differs between forks"
            )

    def _cut(self, bottom: Shape) -> Sizes:
        away = self.pad_beg + self.pad_end
        return bottom[2] + away, bottom[3] + away

    def _resized(self, size: int) -> int:
        shrunk = (size - 1) // self.shrink_factor + 1
        return shrunk + (shrunk - 1) * (self.zoom_factor - 1)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        lead = bottoms[0][:2]
        if self.use_blob_size:
            return ((*lead, *bottoms[1][2:]),)
        if self.height > 0:
            return ((*lead, self.height, self.width),)
        height, width = self._cut(bottoms[0])
        return ((*lead, self._resized(height), self._resized(width)),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        size = self.top_shapes([tuple(bottom.shape) for bottom in bottoms], tops)[0][2:]
        cut = (self.pad_beg, self.pad_end) * 2
        return (F.interpolate(F.pad(bottoms[0], cut), size, mode="bilinear", align_corners=True),)
