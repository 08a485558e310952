"""Layers of Caffe's forks that combine several bottoms."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from enum import IntEnum
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.forks.shape import needs_rank
from caffe2fx.layers.layer import Layer
from caffe2fx.layers.registry import register
from caffe2fx.messages.message import Shape, field


@register
@dataclass(frozen=True, kw_only=True)
class Axpy(Layer):
    """Multiply the second bottom by the first, one factor per channel, and add the third."""

    type = "Axpy"
    message = ""
    dialects = ("senet", "yolo", "waifu2x", "tpu_mlir")
    bottoms = (3, 3)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        scale, x, y = bottoms
        needs_rank(x, 4)
        if x != y or scale not in (x[:2], (*x[:2], 1, 1)):
            raise ShapeMismatchError(f"needs (N, C, 1, 1) and two of (N, C, H, W), got {bottoms}")

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return (tuple(bottoms[1]),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        scale, x, y = bottoms
        return (scale.reshape(*x.shape[:2], 1, 1) * x + y,)


@register
@dataclass(frozen=True, kw_only=True)
class MatMul(Layer):
    """Multiply A (dim_1, dim_2) by the transpose of B (dim_3, dim_2), whatever axes they have.

    tpu_mlir's Caffe ignores excess elements; here they are refused.
    """

    type = "MatMul"
    parameter = ("matmul_param", 312)
    message = "MatMulParameter"
    dialects = ("tpu_mlir",)
    bottoms = (2, 2)

    dim_1: int = field(1, "uint32", 1)
    dim_2: int = field(2, "uint32", 1)
    dim_3: int = field(3, "uint32", 1)

    @classmethod
    def matches_fields(cls, names: Set[str]) -> bool:
        return bool(names & {"dim_1", "dim_2", "dim_3"})

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        counts = self.dim_1 * self.dim_2, self.dim_3 * self.dim_2
        if 0 in counts or counts != tuple(map(prod, bottoms)):
            raise ShapeMismatchError(
                f"needs bottoms of {counts[0]} and {counts[1]} elements, got {list(bottoms)}"
            )

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return ((self.dim_1, self.dim_3),)

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        return self.dim_2

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        one, two = bottoms
        matrix = two.reshape(self.dim_3, self.dim_2)
        return (one.reshape(self.dim_1, self.dim_2) @ matrix.T,)


@register
@dataclass(frozen=True, kw_only=True)
class MatMulBatched(Layer):
    """Multiply matrices of the last two axes, each transposed if stated; others are batch axes.

    From the fork's source, not run; as in OpenCV where nothing is transposed.
    """

    type = "MatMul"
    parameter = ("matmul_param", 263)
    message = "MatMulParameter"
    dialects = ("synopsys",)
    bottoms = (2, 2)

    transpose_a: bool = field(1, "bool", False)
    transpose_b: bool = field(2, "bool", False)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        one, two = bottoms
        if min(len(one), len(two)) < 2 or one[:-2] != two[:-2]:
            raise ShapeMismatchError(f"needs matrices of one batch, got {list(bottoms)}")
        if one[-2 if self.transpose_a else -1] != two[-1 if self.transpose_b else -2]:
            raise ShapeMismatchError(f"needs matrices that fit, got {list(bottoms)}")

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        one, two = bottoms
        one = one.transpose(-1, -2) if self.transpose_a else one
        return (one @ (two.transpose(-1, -2) if self.transpose_b else two),)


class CorrelationType(IntEnum):
    """Selects how two patches are compared."""

    MULTIPLY = 0
    SUBTRACT = 1


@register
@dataclass(frozen=True, kw_only=True)
class Correlation(Layer):
    """Correlate every patch of the first map with its neighbourhood in the second (FlowNet's).

    The top has one channel per displacement, rows first; products (or absolute differences) are
    averaged over the patch and the channels. From the fork's source, not run; with 1x1 patches as
    in OpenCV.
    """

    type = "Correlation"
    parameter = ("correlation_param", 150)
    message = "CorrelationParameter"
    dialects = ("flownet", "synopsys")
    bottoms = (2, 2)

    pad: int = field(2, "uint32", 0)
    kernel_size: int = field(3, "uint32", absent=0)
    max_displacement: int = field(4, "uint32", absent=0)
    stride_1: int = field(5, "uint32", 1)
    stride_2: int = field(6, "uint32", 1)
    correlation_type: CorrelationType = field(15, CorrelationType, CorrelationType.MULTIPLY)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        needs_rank(bottoms[0], 4)
        if bottoms[0] != bottoms[1]:
            raise ShapeMismatchError(f"needs bottoms of one shape, got {list(bottoms)}")
        if self.kernel_size % 2 == 0:
            raise ShapeMismatchError(f"needs an odd kernel_size, got {self.kernel_size}")
        if min(self.stride_1, self.stride_2) < 1:
            raise ShapeMismatchError("needs strides of 1 or more")
        if min(self.top_shapes(bottoms, tops)[0]) < 1:
            raise ShapeMismatchError(f"needs a map larger than the patches, got {bottoms[0]}")

    def _reach(self) -> int:
        return self.max_displacement // self.stride_2

    def _size(self, size: int) -> int:
        border = self.max_displacement + self.kernel_size // 2
        return -(-(size + 2 * self.pad - 2 * border) // self.stride_1)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        batch, _, height, width = bottoms[0]
        return ((batch, (2 * self._reach() + 1) ** 2, self._size(height), self._size(width)),)

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        return self.kernel_size**2 * bottoms[0][1]

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        one, two = (F.pad(bottom, (self.pad,) * 4) for bottom in bottoms)
        radius = self.max_displacement
        height, width = one.shape[2] - 2 * radius, one.shape[3] - 2 * radius
        still = one[:, :, radius : radius + height, radius : radius + width]
        shifts = [step * self.stride_2 for step in range(-self._reach(), self._reach() + 1)]
        maps = [
            self._compared(
                still, two[:, :, radius + y : radius + y + height, radius + x : radius + x + width]
            )
            for y in shifts
            for x in shifts
        ]
        return (torch.cat(maps, 1),)

    def _compared(self, one: Tensor, two: Tensor) -> Tensor:
        multiply = self.correlation_type is CorrelationType.MULTIPLY
        each = one * two if multiply else (one - two).abs()
        return F.avg_pool2d(each.mean(1, keepdim=True), self.kernel_size, self.stride_1)
