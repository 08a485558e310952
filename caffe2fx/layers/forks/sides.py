"""Windows over an input that is padded differently on its four sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.convolution import Convolution
from caffe2fx.layers.forks.shape import needs_rank
from caffe2fx.layers.layer import Evidence, Layer
from caffe2fx.layers.pooling import LOWEST, Pooling, PoolMethod, RoundMode
from caffe2fx.layers.registry import register
from caffe2fx.messages.message import Shape, forked

SIDES = frozenset({"pad_l", "pad_r", "pad_t", "pad_b"})


@dataclass(frozen=True, kw_only=True)
class _Sides(Layer):
    """Base of the layers with pad_l, pad_r, pad_t and pad_b beside, or instead of, `pad`."""

    dialects = ("synopsys",)

    pad_l: int = forked("int32", 0)
    pad_r: int = forked("int32", 0)
    pad_t: int = forked("int32", 0)
    pad_b: int = forked("int32", 0)

    @classmethod
    def matches_fields(cls, names: Set[str]) -> bool:
        return bool(names & SIDES)

    def pads(self) -> tuple[int, int, int, int]:
        """Return the pads in torch's order: left, right, top, bottom."""
        return self.pad_l, self.pad_r, self.pad_t, self.pad_b

    def grown(self, bottoms: Sequence[Shape]) -> list[Shape]:
        """Return the shapes of the padded bottoms."""
        left, right, top, bottom = self.pads()
        return [(*s[:-2], s[-2] + top + bottom, s[-1] + left + right) for s in bottoms]

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return super().top_shapes(self.grown(bottoms), tops)

    def check_sides(self, bottoms: Sequence[Shape], padded: bool) -> None:
        """Raise ShapeMismatchError for bottoms and fields that four-sided pads do not allow."""
        for shape in bottoms:
            needs_rank(shape, 4)
        if padded or min(self.pads()) < 0:
            raise ShapeMismatchError(
                f"needs pad_l, pad_r, pad_t and pad_b of 0 or more and no pad, got {self}"
            )


@register
@dataclass(frozen=True, kw_only=True)
class ConvolutionSides(_Sides, Convolution):
    """Convolve the input padded with zeros, by its own amount on each side.

    With pad_type 1 ("SAME") an axis of size H gets ceil(H / stride) windows, and the padding that
    these need without dilation; the smaller half of it comes first.
    """

    evidence = Evidence.SOURCE

    pad_type: int = forked("uint32", 0)

    @classmethod
    def matches_fields(cls, names: Set[str]) -> bool:
        return bool(names & (SIDES | {"pad_type"}))

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        self.check_sides(bottoms, any(self.geometry(2)[2]))
        if self.pad_type not in (0, 1) or (self.pad_type and any(self.pads())):
            raise ShapeMismatchError(f"needs pad_type 0 or 1, and the latter alone, got {self}")
        super().check(self.grown(bottoms), tops)

    def grown(self, bottoms: Sequence[Shape]) -> list[Shape]:
        pads = [(*self._pads(shape), shape) for shape in bottoms]
        return [(*s[:-2], s[-2] + t + b, s[-1] + le + r) for le, r, t, b, s in pads]

    def _pads(self, bottom: Shape) -> tuple[int, int, int, int]:
        """Return the pads of a bottom of that shape in torch's order; less than 0 cuts off."""
        if not self.pad_type:
            return self.pads()
        kernel, stride, _, dilation = self.geometry(2)
        ends = []
        for size, k, s, d in zip(bottom[-2:], kernel, stride, dilation, strict=True):
            before = max(k - (size % s or s), 0) // 2
            last = (-(-size // s) - 1) * s + d * (k - 1) + 1
            ends.append((before, last - before - size))
        return (*ends[1], *ends[0])

    def _apply(self, bottom: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._apply(F.pad(bottom, self._pads(tuple(bottom.shape))), weight, bias)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        if self.pad_type or not self._has_twin(bottoms):
            return Layer.module(self, bottoms, blobs, tops)
        twin = super().module(self.grown(bottoms), blobs, tops)
        return nn.Sequential(nn.ZeroPad2d(self.pads()), twin)

    def blobs_of(self, module: nn.Module) -> tuple[Tensor, ...]:
        return super().blobs_of(module[1] if isinstance(module, nn.Sequential) else module)


@register
@dataclass(frozen=True, kw_only=True)
class PoolingSides(_Sides, Pooling):
    """Pool with its own padding on each side, or with pad_type 1 ("SAME") as TensorFlow pads.

    A last window that starts behind the input and the padding before it is dropped. MAX and
    AVE_EXC_PAD read the input alone, AVE divides by the window clipped to the padded input.
    """

    evidence = Evidence.SOURCE

    pad_type: int = forked("uint32", 0)

    @classmethod
    def matches_fields(cls, names: Set[str]) -> bool:
        return bool(names & (SIDES | {"pad_type"}))

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        self.check_sides(bottoms, any(self.geometry(bottoms[0])[2]))
        if self.pad_type not in (0, 1) or (self.pad_type and any(self.pads())):
            raise ShapeMismatchError(f"needs pad_type 0 or 1, and the latter alone, got {self}")
        if self.global_pooling and (self.pad_type or any(self.pads())):
            raise ShapeMismatchError("needs no pads beside global_pooling")
        if tops > 1 or self.pool is PoolMethod.STOCHASTIC:
            raise ShapeMismatchError(f"needs 1 top(s), and MAX or an average, got {self}")
        if min(self.geometry(bottoms[0])[0]) < 1 or min(self.geometry(bottoms[0])[1]) < 1:
            raise ShapeMismatchError(f"needs kernel and stride >= 1, got {self}")

    def _axes(self, bottom: Shape) -> Iterator[tuple[int, int, int, int, int]]:
        """Yield for height and width: size, kernel, stride, and the pads before and behind."""
        kernel, stride, _ = self.geometry(bottom)
        left, right, top, below = self.pads()
        pads = ((top, below), (left, right))
        for size, k, s, (before, behind) in zip(bottom[2:], kernel, stride, pads, strict=True):
            if self.pad_type:
                along = max(k - (size % s or s), 0)
                before, behind = along // 2, along - along // 2
            yield size, k, s, before, behind

    def _counts(self, bottom: Shape) -> list[int]:
        if self.pad_type:
            return [-(-size // s) for size, _, s, _, _ in self._axes(bottom)]
        counts = []
        for size, k, s, before, behind in self._axes(bottom):
            reach = size + before + behind - k
            steps = reach // s if self.round_mode is RoundMode.FLOOR else -(-reach // s)
            dropped = any(self.pads()) and steps * s >= size + before
            counts.append(steps if dropped else steps + 1)
        return counts

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        counts = self._counts(bottoms[0])
        if min(counts) < 1:
            raise ShapeMismatchError(f"needs an input of at least its kernel, got {bottoms[0]}")
        return ((*bottoms[0][:2], *counts),)

    def _pads(self, bottom: Shape) -> Shape:
        """Return the pads, in torch's order, with which exactly the windows of the top fit."""
        axes = zip(self._axes(bottom), self._counts(bottom), strict=True)
        ends = [(before, (n - 1) * s + k - before - size) for (size, k, s, before, _), n in axes]
        return (*ends[1], *ends[0])

    def _divisor(self, bottom: Tensor, out: Shape) -> Tensor:
        spans = []
        for axis, count in zip(self._axes(tuple(bottom.shape)), out, strict=True):
            size, k, s, before, behind = axis
            starts = torch.arange(count, dtype=bottom.dtype, device=bottom.device) * s - before
            ends = (starts + k).clamp(max=size + behind)
            if self.pool is PoolMethod.AVE_EXC_PAD:
                starts, ends = starts.clamp(min=0), ends.clamp(max=size)
            spans.append(ends - starts)
        return spans[0][:, None] * spans[1][None, :]

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        bottom, shape = bottoms[0], tuple(bottoms[0].shape)
        kernel, stride, _ = self.geometry(shape)
        if self.pool is PoolMethod.MAX:
            padded = F.pad(bottom, self._pads(shape), value=LOWEST)
            return (F.max_pool2d(padded, kernel, stride),)
        padded = F.pad(bottom, self._pads(shape))
        sums = F.avg_pool2d(padded, kernel, stride, divisor_override=1)
        return (sums / self._divisor(bottom, tuple(sums.shape[2:])),)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return Layer.module(self, bottoms, blobs, tops)  # the pads depend on the bottom's size
