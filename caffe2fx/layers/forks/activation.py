"""Activation functions of Caffe's forks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from caffe2fx.layers.activation import Neuron, needs_dropout_ratio
from caffe2fx.layers.forks.shape import SSD
from caffe2fx.layers.layer import Evidence, Layer, axis_of
from caffe2fx.layers.registry import register
from caffe2fx.messages.common import Engine
from caffe2fx.messages.message import Shape, field, hint


@register
@dataclass(frozen=True, kw_only=True)
class ReLU6(Neuron):
    """Compute x, at most `threshold`; below 0 negative_slope * x."""

    type = "ReLU6"
    parameter = ("relu6_param", 211)
    message = "ReLU6Parameter"
    dialects = SSD

    negative_slope: float = field(1, "float", 0.0)
    threshold: float = field(2, "float", 6.0)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (F.leaky_relu(bottoms[0], self.negative_slope).clamp(max=self.threshold),)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        if self == ReLU6():
            return nn.ReLU6()
        return super().module(bottoms, blobs, tops)


@register
@dataclass(frozen=True, kw_only=True)
class HardSwish(Neuron):
    """Compute x * min(max(x + 3, 0), 6) / 6."""

    type = "HardSwish"
    parameter = ("hardswish_param", 8266721)
    message = "HardSwishParameter"
    dialects = (*SSD, "rknn")

    engine: Engine | None = hint(Engine)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (F.hardswish(bottoms[0]),)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return nn.Hardswish()


@register
@dataclass(frozen=True, kw_only=True)
class HardSigmoid(Neuron):
    """Compute alpha * x + beta, clamped to [0, 1]."""

    type = "HardSigmoid"
    parameter = ("hard_sigmoid_param", 258)
    aliases = ("hardsigmoid_param",)
    message = "HardSigmoidParameter"
    dialects = ("brocolli", "synopsys")

    alpha: float = field(1, "float", 0.2)
    beta: float = field(2, "float", 0.5)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return ((bottoms[0] * self.alpha + self.beta).clamp(0, 1),)


@register
@dataclass(frozen=True, kw_only=True)
class SeLu(Neuron):
    """Compute torch's SELU: 1.0507 x where x > 0, elsewhere 1.0507 * 1.6733 * (exp(x) - 1)."""

    type = "SeLu"
    message = ""
    dialects = ("soeaver",)
    evidence = Evidence.SOURCE

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (F.selu(bottoms[0]),)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return nn.SELU()


@register
@dataclass(frozen=True, kw_only=True)
class SeLuDropout(Neuron):
    """Compute the identity in TEST; in TRAIN a dropout that keeps mean and variance of SeLu."""

    type = "SeLuDropout"
    parameter = ("selu_dropout_param", 6000)
    message = "SeLUDropoutParameter"
    dialects = ("soeaver",)
    evidence = Evidence.SOURCE

    dropout_ratio: float = field(1, "float", 0.1)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        needs_dropout_ratio(self.dropout_ratio)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (bottoms[0],)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return nn.AlphaDropout(self.dropout_ratio)


@register
@dataclass(frozen=True, kw_only=True)
class Mish(Neuron):
    """Compute x * tanh(log(1 + exp(x)))."""

    type = "Mish"
    message = ""
    dialects = SSD

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (F.mish(bottoms[0]),)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return nn.Mish()


@register
@dataclass(frozen=True, kw_only=True)
class CReLU(Layer):
    """Concatenate the ReLUs of the bottom and of its negative along `concat_axis`."""

    type = "CReLU"
    parameter = ("crelu_param", 213)
    message = "CReLUParameter"
    dialects = ("pvanet",)
    evidence = Evidence.SOURCE

    negative_slope: float = field(1, "float", 0.0)
    concat_axis: int = field(3, "int32", 1)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        axis_of(self.concat_axis, len(bottoms[0]))

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        both = torch.cat([bottoms[0], -bottoms[0]], self.concat_axis)
        return (F.leaky_relu(both, self.negative_slope),)
