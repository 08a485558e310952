"""Exp, Log and AbsVal: elementwise functions with Caffe's scales and shifts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.activation import Neuron
from caffe2fx.layers.registry import register
from caffe2fx.messages.message import Shape, field

NATURAL = -1.0  # Caffe's own value for base e


@register
@dataclass(frozen=True, kw_only=True)
class AbsVal(Neuron):
    """Compute the absolute value of x, which Caffe refuses to do in place."""

    type = "AbsVal"
    message = ""
    in_place = False

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (bottoms[0].abs(),)


class _WithBase(Neuron):
    """Base of Exp and Log: computes the logarithm of `base`, which must be valid."""

    base: float

    def _log_base(self) -> float:
        return 1.0 if self.base == NATURAL else math.log(self.base)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if self.base != NATURAL and not self.base > 0:
            raise ShapeMismatchError(f"needs a base above 0, or -1 for e, got {self.base}")


@register
@dataclass(frozen=True, kw_only=True)
class Exp(_WithBase):
    """Compute base ** (shift + scale * x); base -1 means e."""

    type = "Exp"
    parameter = ("exp_param", 111)
    message = "ExpParameter"

    base: float = field(1, "float", NATURAL)
    scale: float = field(2, "float", 1.0)
    shift: float = field(3, "float", 0.0)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        # Caffe's order: a shift becomes a factor outside.
        inner = torch.exp(bottoms[0] * (self._log_base() * self.scale))
        return (inner if self.shift == 0 else inner * math.exp(self._log_base() * self.shift),)


@register
@dataclass(frozen=True, kw_only=True)
class Log(_WithBase):
    """Compute the logarithm of shift + scale * x to `base`; base -1 means e."""

    type = "Log"
    parameter = ("log_param", 134)
    message = "LogParameter"

    base: float = field(1, "float", NATURAL)
    scale: float = field(2, "float", 1.0)
    shift: float = field(3, "float", 0.0)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if self.base == 1:
            raise ShapeMismatchError("needs a base other than 1, got 1.0")

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        scaled = bottoms[0] * self.scale if self.scale != 1 else bottoms[0]
        shifted = scaled + self.shift if self.shift != 0 else scaled
        return (torch.log(shifted) / self._log_base(),)
