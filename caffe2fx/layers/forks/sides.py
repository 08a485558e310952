"""Windows over an input that is padded differently on its four sides."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.convolution import Convolution
from caffe2fx.layers.forks.shape import needs_rank
from caffe2fx.layers.layer import Layer
from caffe2fx.layers.pooling import LOWEST, Pooling, PoolMethod
from caffe2fx.layers.registry import register
from caffe2fx.messages.message import Shape, forked

SIDES = frozenset({"pad_l", "pad_r", "pad_t", "pad_b"})


@dataclass(frozen=True, kw_only=True)
class _Sides(Layer):
    """Base of the layers with pad_l, pad_r, pad_t and pad_b beside, or in place of, `pad`."""

    dialects = ("synopsys",)

    pad_l: int = forked("int32", 0)
    pad_r: int = forked("int32", 0)
    pad_t: int = forked("int32", 0)
    pad_b: int = forked("int32", 0)

    @classmethod
    def claims(cls, said: Set[str]) -> bool:
        return bool(said & SIDES)

    def around(self) -> tuple[int, int, int, int]:
        """The pads as torch has them: left, right, top, bottom."""
        return self.pad_l, self.pad_r, self.pad_t, self.pad_b

    def grown(self, bottoms: Sequence[Shape]) -> list[Shape]:
        """The shapes of the padded bottoms."""
        left, right, top, bottom = self.around()
        return [(*s[:-2], s[-2] + top + bottom, s[-1] + left + right) for s in bottoms]

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return super().top_shapes(self.grown(bottoms), tops)

    def check_sides(self, bottoms: Sequence[Shape], padded: bool) -> None:
        """Raise ShapeMismatchError for what the sides do not go with."""
        for shape in bottoms:
            needs_rank(shape, 4)
        if padded or min(self.around()) < 0:
            raise ShapeMismatchError(
                f"needs pad_l, pad_r, pad_t and pad_b of 0 or more and no pad, got {self}"
            )


@register
@dataclass(frozen=True, kw_only=True)
class ConvolutionSides(_Sides, Convolution):
    """A convolution of the input with zeros around it, as many as each side says.

    By the fork's schema, not run.
    """

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        self.check_sides(bottoms, any(self.geometry(2)[2]))
        super().check(self.grown(bottoms), tops)

    def _apply(self, bottom: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._apply(F.pad(bottom, self.around()), weight, bias)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        if not self._has_twin(bottoms):
            return Layer.module(self, bottoms, blobs, tops)
        twin = super().module(self.grown(bottoms), blobs, tops)
        return nn.Sequential(nn.ZeroPad2d(self.around()), twin)


@register
@dataclass(frozen=True, kw_only=True)
class PoolingSides(_Sides, Pooling):
    """MAX pooling whose windows, some of them over the sides, end with the last side.

    How the fork rounds, and what it divides an average by, is not known: such are refused.
    By the fork's schema, not run.
    """

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        self.check_sides(bottoms, any(self.geometry(bottoms[0])[2]))
        super().check(self.grown(bottoms), tops)
        if self.pool is not PoolMethod.MAX or self.global_pooling or tops > 1:
            raise ShapeMismatchError(f"needs MAX of windows and 1 top(s) beside pad_l, got {self}")
        kernel, stride, _ = self.geometry(bottoms[0])
        wide, high = self.around()[:2], self.around()[2:]
        if max(high) >= kernel[0] or max(wide) >= kernel[1]:
            raise ShapeMismatchError(f"needs pads less than the kernel, got {self}")
        sizes = zip(self.grown(bottoms)[0][2:], kernel, stride, strict=True)
        if any((size - k) % s for size, k, s in sizes):
            raise ShapeMismatchError("needs windows that end with the padded input beside pad_l")

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        padded = F.pad(bottoms[0], self.around(), value=LOWEST)
        kernel, stride, _ = self.geometry(tuple(bottoms[0].shape))
        return (F.max_pool2d(padded, kernel, stride),)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        kernel, stride, _ = self.geometry(bottoms[0])
        return nn.Sequential(nn.ConstantPad2d(self.around(), LOWEST), nn.MaxPool2d(kernel, stride))
