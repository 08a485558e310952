"""Activation functions: the top has the bottom's shape, and all may run in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
import torch
from torch import Tensor, nn

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.layer import MASTER, Layer, axis_of, torch_module
from caffe2fx.layers.registry import register
from caffe2fx.messages.common import Engine, Filler
from caffe2fx.messages.message import Shape, field, hint, required


class Neuron(Layer):
    """Base of the layers whose top has the bottom's shape."""

    in_place = True

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return (tuple(bottoms[0]),)


@register
@dataclass(frozen=True, kw_only=True)
class ReLU(Neuron):
    """Compute x where x > 0, negative_slope * x elsewhere."""

    type = "ReLU"
    parameter = ("relu_param", 123)
    message = "ReLUParameter"

    negative_slope: float = field(1, "float", 0.0)
    engine: Engine = field(2, Engine, Engine.DEFAULT)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (nn.functional.leaky_relu(bottoms[0], self.negative_slope),)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return nn.ReLU() if self.negative_slope == 0 else nn.LeakyReLU(self.negative_slope)


@register
@dataclass(frozen=True, kw_only=True)
class PReLU(Neuron):
    """Compute x where x > 0, elsewhere x times the slope of its channel (axis 1), or of all."""

    type = "PReLU"
    parameter = ("prelu_param", 131)
    message = "PReLUParameter"

    filler: Filler | None = field(1, Filler)
    channel_shared: bool = field(2, "bool", False)

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        return ((),) if self.channel_shared else ((bottoms[0][1],),)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if not 2 <= len(bottoms[0]) <= 4:
            raise ShapeMismatchError(f"needs a bottom of rank 2 to 4, got {bottoms[0]}")

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (nn.functional.prelu(bottoms[0], blobs[0]),)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return torch_module(nn.PReLU, blobs)


@register
@dataclass(frozen=True, kw_only=True)
class ELU(Neuron):
    """Compute x where x > 0, alpha * (exp(x) - 1) elsewhere."""

    type = "ELU"
    parameter = ("elu_param", 140)
    message = "ELUParameter"

    alpha: float = field(1, "float", 1.0)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (nn.functional.elu(bottoms[0], self.alpha),)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return nn.ELU(self.alpha)


@register
@dataclass(frozen=True, kw_only=True)
class Sigmoid(Neuron):
    """Compute 1 / (1 + exp(-x))."""

    type = "Sigmoid"
    parameter = ("sigmoid_param", 124)
    message = "SigmoidParameter"

    engine: Engine = field(1, Engine, Engine.DEFAULT)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (torch.sigmoid(bottoms[0]),)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return nn.Sigmoid()


@register
@dataclass(frozen=True, kw_only=True)
class TanH(Neuron):
    """Compute the hyperbolic tangent."""

    type = "TanH"
    parameter = ("tanh_param", 127)
    message = "TanHParameter"

    engine: Engine = field(1, Engine, Engine.DEFAULT)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (torch.tanh(bottoms[0]),)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return nn.Tanh()


@register
@dataclass(frozen=True, kw_only=True)
class BNLL(Neuron):
    """Compute log(1 + exp(x)) without overflow; torch calls it softplus."""

    type = "BNLL"
    message = ""

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (nn.functional.softplus(bottoms[0]),)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return nn.Softplus()


@register
@dataclass(frozen=True, kw_only=True)
class Swish(Neuron):
    """Compute x * sigmoid(beta * x)."""

    type = "Swish"
    parameter = ("swish_param", 147)
    message = "SwishParameter"
    since = MASTER

    beta: float = field(1, "float", 1.0)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (bottoms[0] * torch.sigmoid(self.beta * bottoms[0]),)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return nn.SiLU() if self.beta == 1 else super().module(bottoms, blobs, tops)


@register
@dataclass(frozen=True, kw_only=True)
class Threshold(Neuron):
    """Compute 1 where x > threshold, 0 elsewhere (NaN included)."""

    type = "Threshold"
    parameter = ("threshold_param", 128)
    message = "ThresholdParameter"

    threshold: float = field(1, "float", 0.0)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return ((bottoms[0] > self.threshold).to(bottoms[0].dtype),)


def _in_float32(value: float) -> float:
    """Round to float32: the shortest decimal of the largest float32 is a little larger than it."""
    return float(np.float32(value))


@register
@dataclass(frozen=True, kw_only=True)
class Clip(Neuron):
    """Clamp x to [min, max]; the top is min where x is NaN or max is below min.

    The gradient goes through where x is min or max exactly, but not in torch's Hardtanh.
    """

    type = "Clip"
    parameter = ("clip_param", 148)
    message = "ClipParameter"
    since = MASTER

    min: float = required(1, "float")
    max: float = required(2, "float")

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        bottom, (low, high) = bottoms[0], self._bounds()
        known = torch.where(bottom.isnan(), torch.full_like(bottom, low), bottom.detach())
        inside = (bottom >= low) & (bottom <= high)
        return (torch.where(inside, bottom, known.clamp(max=high).clamp(min=low)),)

    def _bounds(self) -> tuple[float, float]:
        return _in_float32(self.min), _in_float32(self.max)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        if self.min >= self.max:  # torch would refuse
            return super().module(bottoms, blobs, tops)
        return nn.Hardtanh(*self._bounds())


# From here on float32 has no fractions: who adds a constant so large wants them rounded away, and
# that rounding is part of the meaning, whatever the type in which it is computed.
ROUNDS = 2.0**23


@register
@dataclass(frozen=True, kw_only=True)
class Power(Neuron):
    """Compute (shift + scale * x) ** power; scale 0 or power 0 gives a constant.

    A shift of 2^23 or more rounds to integers, as float32 does.
    """

    type = "Power"
    parameter = ("power_param", 122)
    message = "PowerParameter"

    power: float = field(1, "float", 1.0)
    scale: float = field(2, "float", 1.0)
    shift: float = field(3, "float", 0.0)

    @property
    def is_constant(self) -> bool:
        return self.power * self.scale == 0

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        if self.is_constant:
            return (torch.full_like(bottoms[0], _in_float32(self.shift)) ** self.power,)
        affine = bottoms[0] * self.scale if self.scale != 1 else bottoms[0]
        affine = affine + self.shift if self.shift != 0 else affine
        if abs(self.shift) >= ROUNDS:
            affine = affine.float().to(affine.dtype)
        if self.power != 1:
            return (_raised(affine, self.power),)
        return (affine.clone() if affine is bottoms[0] else affine,)


def _raised(value: Tensor, power: float) -> Tensor:
    """Return value**power as C's pow does, for which a root of -inf is not NaN."""
    raised = value**power
    return torch.where(value == -inf, abs(inf**power), raised) if power % 1 else raised


def needs_dropout_ratio(ratio: float) -> None:
    """Refuse a ratio that is no probability: Caffe stops at its first pass in TRAIN."""
    if not 0 <= ratio <= 1:
        raise ShapeMismatchError(f"needs dropout_ratio from 0 to 1, got {ratio}")


@register
@dataclass(frozen=True, kw_only=True)
class Dropout(Neuron):
    """Compute the identity in TEST; in TRAIN a mask scaled by 1 / (1 - dropout_ratio)."""

    type = "Dropout"
    parameter = ("dropout_param", 108)
    message = "DropoutParameter"

    dropout_ratio: float = field(1, "float", 0.5)
    engine: Engine | None = hint(Engine)
    random_seed: int | None = hint("int64")  # NVIDIA's

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        needs_dropout_ratio(self.dropout_ratio)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (bottoms[0],)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return nn.Dropout(self.dropout_ratio)


@dataclass(frozen=True, kw_only=True)
class SoftmaxFields(Layer):
    """Holds the fields that Softmax and SoftmaxWithLoss share: one message."""

    parameter = ("softmax_param", 125)
    message = "SoftmaxParameter"

    engine: Engine = field(1, Engine, Engine.DEFAULT)
    axis: int = field(2, "int32", 1)


@register
@dataclass(frozen=True, kw_only=True)
class Softmax(SoftmaxFields, Neuron):
    """Compute exp(x - max) / sum over one axis."""

    type = "Softmax"

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (torch.softmax(bottoms[0], self.axis),)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        axis_of(self.axis, len(bottoms[0]))

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        return bottoms[0][self.axis]

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return nn.Softmax(self.axis)
