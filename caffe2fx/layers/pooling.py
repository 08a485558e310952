"""Pooling, with Caffe's own rounding of the output size and its own treatment of borders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.layer import Layer
from caffe2fx.layers.registry import register
from caffe2fx.messages.common import Engine
from caffe2fx.messages.message import Choice, Shape, field, forked

Pair = tuple[int, int]
LOWEST = torch.finfo(torch.float32).min  # -FLT_MAX: the maximum of an empty window


class PoolMethod(Choice):
    """Selects how a window is reduced; the last is Synopsys's, which excludes padding."""

    MAX = 0
    AVE = 1
    STOCHASTIC = 2
    AVE_EXC_PAD = 3
    AVE_TF = 3

    @property
    def is_forked(self) -> bool:
        return self is PoolMethod.AVE_EXC_PAD

    @property
    def is_average(self) -> bool:
        """Return whether the method sums a window and divides."""
        return self in (PoolMethod.AVE, PoolMethod.AVE_EXC_PAD)


class RoundMode(IntEnum):
    """Selects how a partial last window is rounded; FLOOR exists since 2018 only."""

    CEIL = 0
    FLOOR = 1


@register
@dataclass(frozen=True, kw_only=True)
class Pooling(Layer):
    """Pool windows over H and W of a 4-D bottom.

    Caffe rounds the output size up; with padding it drops a last window that starts at or
    after the end of the input plus pad. An AVE window divides by its size clipped to the
    padded input, AVE_EXC_PAD by its size clipped to the input. Without padding and with a kernel
    smaller than the stride a window can lie wholly outside: then MAX gives -FLT_MAX and AVE gives
    NaN.
    """

    type = "Pooling"
    parameter = ("pooling_param", 121)
    message = "PoolingParameter"
    tops = (1, 2)

    pool: PoolMethod = field(1, PoolMethod, PoolMethod.MAX)
    pad: int = field(4, "uint32", 0)
    pad_h: int | None = field(9, "uint32", 0, absent=None)
    pad_w: int | None = field(10, "uint32", 0, absent=None)
    kernel_size: int | None = field(2, "uint32")
    kernel_h: int | None = field(5, "uint32")
    kernel_w: int | None = field(6, "uint32")
    stride: int = field(3, "uint32", 1)
    stride_h: int | None = field(7, "uint32")
    stride_w: int | None = field(8, "uint32")
    engine: Engine = field(11, Engine, Engine.DEFAULT)
    global_pooling: bool = field(12, "bool", False)
    round_mode: RoundMode = field(13, RoundMode, RoundMode.CEIL)
    ceil_mode: bool | None = forked("bool", True, absent=None)  # round_mode in forks

    def _canonical(self) -> dict[str, Any]:
        return {
            **self._rounding(),
            **_pair("kernel", "kernel_size", self.kernel_size, self.kernel_h, self.kernel_w, None),
            **_pair("pad", "pad", self.pad, self.pad_h, self.pad_w, 0),
            **_pair("stride", "stride", self.stride, self.stride_h, self.stride_w, 1),
        }

    def _rounding(self) -> dict[str, Any]:
        if self.ceil_mode is None:
            return {}
        if self.ceil_mode and self.round_mode is RoundMode.FLOOR:
            raise ShapeMismatchError("needs round_mode or ceil_mode, got FLOOR and true")
        mode = RoundMode.CEIL if self.ceil_mode else RoundMode.FLOOR
        return {"ceil_mode": None, "round_mode": mode}

    def geometry(self, bottom: Shape) -> tuple[Pair, Pair, Pair]:
        """Return kernel, stride and pad, each as (h, w), for a bottom of that shape."""
        if self.global_pooling:
            return (bottom[2], bottom[3]), (1, 1), (0, 0)
        kernel = _sides(self.kernel_size, self.kernel_h, self.kernel_w)
        stride = _sides(self.stride, self.stride_h, self.stride_w)
        return kernel, stride, _sides(self.pad, self.pad_h, self.pad_w)

    def padded(self, bottom: Shape) -> Pair:
        """Return height and width of a bottom of that shape, with the pad at both ends."""
        (_, _, pad), (height, width) = self.geometry(bottom), bottom[2:]
        return height + 2 * pad[0], width + 2 * pad[1]

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        """Return ceil or floor((in + 2 pad - kernel) / stride) + 1, less a window outside."""
        kernel, stride, pad = self.geometry(bottoms[0])
        sizes = tuple(
            self._size(*axis, any(pad))
            for axis in zip(bottoms[0][2:], kernel, stride, pad, strict=True)
        )
        if min(sizes) < 1:
            raise ShapeMismatchError(f"needs an input of at least its kernel, got {bottoms[0]}")
        return ((*bottoms[0][:2], *sizes),) * tops

    def _size(self, size: int, kernel: int, stride: int, pad: int, padded: bool) -> int:
        reach = size + 2 * pad - kernel
        steps = reach // stride if self.round_mode is RoundMode.FLOOR else -(-reach // stride)
        if padded and steps * stride >= size + pad:
            return steps
        return steps + 1

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        bottom = bottoms[0]
        kernel, stride, pad = self.geometry(tuple(bottom.shape))
        out = self.top_shapes([tuple(bottom.shape)], tops)[0][2:]
        ends = [
            max((count - 1) * s + k - p - size, 0)
            for size, k, s, p, count in zip(bottom.shape[2:], kernel, stride, pad, out, strict=True)
        ]
        pads = (pad[1], ends[1], pad[0], ends[0])
        if self.pool is PoolMethod.MAX:
            return self._maximum(bottom, pads, out, tops)
        if self.pool.is_average:
            sums = F.avg_pool2d(F.pad(bottom, pads), kernel, stride, divisor_override=1)
            return (sums[..., : out[0], : out[1]] / self._divisor(bottom, out),)
        raise NotImplementedError(f"{self.pool.name} pooling, which check refuses")

    def _maximum(self, bottom: Tensor, pads: Shape, out: Shape, tops: int) -> tuple[Tensor, ...]:
        kernel, stride, _ = self.geometry(tuple(bottom.shape))
        # Caffe keeps values larger than -FLT_MAX: neither NaN nor -inf is.
        least = torch.full_like(bottom, LOWEST)
        padded = F.pad(torch.where(bottom > LOWEST, bottom, least), pads, value=LOWEST)
        if tops == 1:
            return (F.max_pool2d(padded, kernel, stride)[..., : out[0], : out[1]],)
        top, index = F.max_pool2d(padded, kernel, stride, return_indices=True)
        row, column = index // padded.shape[3] - pads[2], index % padded.shape[3] - pads[0]
        mask = (row * bottom.shape[3] + column).to(bottom.dtype)
        mask = torch.where(top > LOWEST, mask, torch.full_like(mask, -1))
        return top[..., : out[0], : out[1]], mask[..., : out[0], : out[1]]

    def _divisor(self, bottom: Tensor, out: Shape) -> Tensor:
        kernel, stride, pad = self.geometry(tuple(bottom.shape))
        spans = []
        for size, k, s, p, count in zip(bottom.shape[2:], kernel, stride, pad, out, strict=True):
            starts = torch.arange(count, dtype=bottom.dtype, device=bottom.device) * s - p
            if self.pool is PoolMethod.AVE_EXC_PAD:
                spans.append((starts + k).clamp(max=size) - starts.clamp(min=0))
            else:
                spans.append((starts + k).clamp(max=size + p) - starts)
        height, width = spans  # negative for a window that starts beyond the end, as in Caffe
        return height[:, None] * width[None, :]

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        return prod(self.geometry(bottoms[0])[0]) if self.pool.is_average else 1

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if len(bottoms[0]) != 4:
            raise ShapeMismatchError(f"needs a 4-D bottom, got {bottoms[0]}")
        if self.pool is PoolMethod.STOCHASTIC:
            raise ShapeMismatchError("needs MAX or AVE, got STOCHASTIC, which Caffe cannot test")
        if tops == 2 and self.pool is not PoolMethod.MAX:
            raise ShapeMismatchError("needs 1 top(s) for AVE, got 2")
        kernel, stride, pad = self.geometry(bottoms[0])
        sizes = (self.kernel_size, self.kernel_h, self.kernel_w)
        if self.global_pooling and (any(side is not None for side in sizes) or self._moves()):
            raise ShapeMismatchError("needs no kernel, pad or stride beside global_pooling")
        if min(stride) < 1 or min(kernel) < 1:
            raise ShapeMismatchError(f"needs kernel and stride >= 1, got {kernel} and {stride}")
        if any(p >= k for p, k in zip(pad, kernel, strict=True)):
            raise ShapeMismatchError(f"needs pad < kernel, got pad {pad} and kernel {kernel}")

    def _moves(self) -> bool:
        sides = (self.pad_h, self.pad_w, self.stride_h, self.stride_w)
        return self.pad != 0 or self.stride != 1 or any(side is not None for side in sides)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        """Return torch's own pooling if the geometry makes it equal; it has no empty windows."""
        twin = self._twin(bottoms[0]) if tops == 1 else None
        return super().module(bottoms, blobs, tops) if twin is None else twin

    def _twin(self, bottom: Shape) -> nn.Module | None:
        is_max = self.pool is PoolMethod.MAX
        if self.global_pooling:
            return nn.AdaptiveMaxPool2d(1) if is_max else nn.AdaptiveAvgPool2d(1)
        kernel, stride, pad = self.geometry(bottom)
        sides = zip(kernel, stride, pad, strict=True)
        if any(2 * p > k or s > k for k, s, p in sides) or self.pool is PoolMethod.STOCHASTIC:
            return None
        # Equal on every axis whether or not another is padded: with stride <= kernel a window
        # starts outside only if there is padding.
        ceil = self.round_mode is RoundMode.CEIL
        if is_max:
            return nn.MaxPool2d(kernel, stride, pad, ceil_mode=ceil)
        counts = self.pool is PoolMethod.AVE
        return nn.AvgPool2d(kernel, stride, pad, ceil_mode=ceil, count_include_pad=counts)


@register
@dataclass(frozen=True, kw_only=True)
class SPP(Layer):
    """Pool into a spatial pyramid: 1, 4, 16 ... windows, in one row (N, C * windows).

    On a level with 2^l windows a side, these are ceil(size / 2^l) wide, which is their stride, and
    the input is padded by half of the excess. A pyramid of height 1 is its one level, not
    flattened: (N, C, 1, 1).
    """

    type = "SPP"
    parameter = ("spp_param", 132)
    message = "SPPParameter"

    pyramid_height: int = field(1, "uint32", absent=0)
    pool: PoolMethod = field(2, PoolMethod, PoolMethod.MAX)
    engine: Engine = field(6, Engine, Engine.DEFAULT)

    def levels(self, bottom: Shape) -> list[Pooling]:
        """Return the Pooling record of each level."""
        return [
            self._level(*(_covering(size, 1 << level) for size in bottom[2:]))
            for level in range(self.pyramid_height)
        ]

    def _level(self, height: Pair, width: Pair) -> Pooling:
        (kernel_h, pad_h), (kernel_w, pad_w) = height, width
        return Pooling(
            pool=self.pool,
            kernel_h=kernel_h,
            kernel_w=kernel_w,
            stride_h=kernel_h,
            stride_w=kernel_w,
            pad_h=pad_h,
            pad_w=pad_w,
        )

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if self.pool.is_forked:
            raise ShapeMismatchError(f"needs MAX or AVE, got {self.pool.name}")
        if len(bottoms[0]) != 4:
            raise ShapeMismatchError(f"needs a 4-D bottom, got {bottoms[0]}")
        if self.pyramid_height < 1:
            raise ShapeMismatchError("needs pyramid_height >= 1, got 0")
        for level in self.levels(bottoms[0]):
            level.check(bottoms, 1)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        shapes = [level.top_shapes(bottoms, 1)[0] for level in self.levels(bottoms[0])]
        if len(shapes) == 1:
            return (shapes[0],)
        return ((bottoms[0][0], sum(prod(shape[1:]) for shape in shapes)),)

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        return max(level.accumulation_length(bottoms) for level in self.levels(bottoms[0]))

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        levels = self.levels(tuple(bottoms[0].shape))
        pooled = [level.compute(bottoms, (), 1)[0] for level in levels]
        return (pooled[0] if len(pooled) == 1 else torch.cat([p.flatten(1) for p in pooled], 1),)


def _covering(size: int, windows: int) -> Pair:
    """Return kernel and pad with which that many adjacent windows cover an axis."""
    kernel = -(-size // windows)
    return kernel, (kernel * windows - size + 1) // 2


def _sides(both: int | None, h: int | None, w: int | None) -> Pair:
    """Return (h, w) from Caffe's single size or its _h and _w pair."""
    first, second = (both if side is None else side for side in (h, w))
    if first is None or second is None:
        raise ShapeMismatchError("needs kernel_size or both of kernel_h and kernel_w, got neither")
    return first, second


def _pair(
    prefix: str, name: str, both: int | None, h: int | None, w: int | None, neutral: int | None
) -> dict[str, Any]:
    """Return one form of the fields: the single size if both sides agree, else _h and _w."""
    if (h is None) != (w is None):
        raise ShapeMismatchError(f"needs both {prefix}_h and {prefix}_w, got only one")
    if h is not None and both != neutral:
        raise ShapeMismatchError(f"needs {prefix} given once, got {name} and {prefix}_h/{prefix}_w")
    sides = tuple(both if side is None else side for side in (h, w))
    if sides[0] == sides[1]:
        return {name: sides[0], f"{prefix}_h": None, f"{prefix}_w": None}
    return {name: neutral, f"{prefix}_h": sides[0], f"{prefix}_w": sides[1]}
