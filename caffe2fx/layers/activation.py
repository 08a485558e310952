"""Neuron layers: one number in, one number out; all may run in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from caffe2fx.layer import Layer, register
from caffe2fx.message import Engine, Shape, field


class Neuron(Layer):
    """Base of the layers whose top has the bottom's shape."""

    in_place = True

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return (tuple(bottoms[0]),)


@register
@dataclass(frozen=True, kw_only=True)
class ReLU(Neuron):
    """x where x > 0, negative_slope * x elsewhere."""

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
class Power(Neuron):
    """(shift + scale * x) ** power; scale 0 or power 0 makes a constant of the bottom's shape."""

    type = "Power"
    parameter = ("power_param", 122)
    message = "PowerParameter"

    power: float = field(1, "float", 1.0)
    scale: float = field(2, "float", 1.0)
    shift: float = field(3, "float", 0.0)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        if self.power * self.scale == 0:
            value = 1.0 if self.power == 0 else self.shift**self.power
            return (torch.full_like(bottoms[0], value),)
        affine = bottoms[0] * self.scale if self.scale != 1 else bottoms[0]
        affine = affine + self.shift if self.shift != 0 else affine
        if self.power != 1:
            return (affine**self.power,)
        return (affine.clone() if affine is bottoms[0] else affine,)


@register
@dataclass(frozen=True, kw_only=True)
class Dropout(Neuron):
    """The identity in TEST; in TRAIN a mask scaled by 1 / (1 - dropout_ratio)."""

    type = "Dropout"
    parameter = ("dropout_param", 108)
    message = "DropoutParameter"

    dropout_ratio: float = field(1, "float", 0.5)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (bottoms[0],)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return nn.Dropout(self.dropout_ratio)


@register
@dataclass(frozen=True, kw_only=True)
class Softmax(Neuron):
    """exp(x - max) / sum over one axis."""

    type = "Softmax"
    parameter = ("softmax_param", 125)
    message = "SoftmaxParameter"

    engine: Engine = field(1, Engine, Engine.DEFAULT)
    axis: int = field(2, "int32", 1)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (torch.softmax(bottoms[0], self.axis),)

    def reduction(self, bottoms: Sequence[Shape]) -> int:
        return bottoms[0][self.axis]

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return nn.Softmax(self.axis)
