"""Activation functions; dropout in eval mode emits no layer."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import torch
import torch.nn.functional as F

from caffe2fx import compat
from caffe2fx.layers import (
    BNLL,
    ELU,
    AbsVal,
    Eltwise,
    Power,
    PReLU,
    ReLU,
    Sigmoid,
    Slice,
    Swish,
    TanH,
    Threshold,
)
from fx2caffe.ir.binary import PRODUCT
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.reshape import reshaped, viewed
from fx2caffe.ir.symbol import Operand, Refused, Symbol
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.arguments import constant, positive
from fx2caffe.ops.blocks import clipped, inside, product, weighted_sum
from fx2caffe.ops.selection import select


@handles(F.relu)
def relu(net: Emitter, input: Symbol, inplace: bool = False) -> Symbol:
    return net.add(ReLU(), input)


@handles(F.relu6)
def relu6(net: Emitter, input: Symbol, inplace: bool = False) -> Symbol:
    return clipped(net, input, 0, 6)


@handles(F.hardtanh)
def hardtanh(
    net: Emitter,
    input: Symbol,
    min_val: float = -1.0,
    max_val: float = 1.0,
    inplace: bool = False,
) -> Symbol:
    return clipped(net, input, min_val, max_val)


@handles(F.leaky_relu)
def leaky_relu(
    net: Emitter, input: Symbol, negative_slope: float = 0.01, inplace: bool = False
) -> Symbol:
    return net.add(ReLU(negative_slope=negative_slope), input)


@handles(F.rrelu)
def rrelu(
    net: Emitter,
    input: Symbol,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Symbol:
    if training:
        raise Refused("needs eval mode: call model.eval()")
    return net.add(ReLU(negative_slope=(lower + upper) / 2), input)


@handles(compat.RRELU_WITH_NOISE)
def rrelu_with_noise(
    net: Emitter,
    input: Symbol,
    noise: Operand,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    generator: Any = None,
) -> tuple[Symbol, Operand]:
    """Return rrelu and the noise, which stays as it is in eval mode."""
    return rrelu(net, input, lower, upper, training), noise


def _prelu_of_computed(net: Emitter, input: Symbol, weight: Symbol) -> Symbol:
    """Compute max(x, 0) - weight max(-x, 0) by a weight for all channels or for each."""
    high = net.add(ReLU(), input, suffix="high")
    low = net.add(ReLU(), net.add(Power(scale=-1), input, suffix="negative"), suffix="low")
    ones = (1,) * max(0, input.rank - 2)
    slope = viewed(net, weight, lambda s: (*s, *ones) if s else s, suffix="slope")
    return weighted_sum(net, high, product(net, low, slope, suffix="sloped"), (1.0, -1.0))


@handles(F.prelu)
def prelu(net: Emitter, input: Symbol, weight: Operand, *, out: Expected) -> Symbol:
    if isinstance(weight, Symbol):
        return _prelu_of_computed(net, input, weight)
    slope = constant("weight", weight)
    if input.rank < 2:  # a single slope, since there are no channels
        return net.add(ReLU(negative_slope=float(slope.detach())), input)
    # A single slope for a single channel may be either; its shape decides.
    shared = slope.dim() == 0 or slope.numel() != input.shape[1]
    blob = slope.reshape(()) if shared else slope
    layer = PReLU(channel_shared=shared)
    if input.rank <= 4:
        return net.add(layer, input, blobs=[blob])
    flat = viewed(net, input, lambda sizes: (*sizes[:2], prod(sizes[2:])), suffix="flat")
    return reshaped(
        net, net.add(layer, flat, blobs=[blob], suffix="prelu"), out.shape, out.other_shape
    )


@handles(F.elu)
def elu(net: Emitter, input: Symbol, alpha: float = 1.0, inplace: bool = False) -> Symbol:
    return net.add(ELU(alpha=alpha), input)


@handles(torch._C._nn.elu)
def scaled_elu(
    net: Emitter, input: Symbol, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0
) -> Symbol:
    """Emit torch's elu operator: `scale` x above 0, scale alpha (e^(input_scale x) - 1) below."""
    exponent = net.add(Power(scale=input_scale), input, suffix="exponent")
    curve = net.add(ELU(alpha=alpha * input_scale), exponent, suffix="elu")
    return net.add(Power(scale=scale / input_scale), curve)


@handles(F.celu)
def celu(net: Emitter, input: Symbol, alpha: float = 1.0, inplace: bool = False) -> Symbol:
    """Decompose celu as alpha * elu(x / alpha), whose slope at 0 is 1."""
    if alpha == 1:
        return net.add(ELU(), input)
    scaled = net.add(Power(scale=1 / alpha), input, suffix="scaled")
    return net.add(Power(scale=alpha), net.add(ELU(), scaled, suffix="elu"))


# Klambauer and others, Self-Normalizing Neural Networks (2017).
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


@handles(F.selu)
def selu(net: Emitter, input: Symbol, inplace: bool = False) -> Symbol:
    return net.add(Power(scale=_SELU_SCALE), net.add(ELU(alpha=_SELU_ALPHA), input, suffix="elu"))


@handles(torch.sigmoid)
def sigmoid(net: Emitter, input: Symbol) -> Symbol:
    return net.add(Sigmoid(), input)


@handles(torch.tanh)
def tanh(net: Emitter, input: Symbol) -> Symbol:
    return net.add(TanH(), input)


@handles(F.silu)
def silu(net: Emitter, input: Symbol, inplace: bool = False) -> Symbol:
    return net.add(Swish(), input)


@handles(F.hardswish)
def hardswish(net: Emitter, input: Symbol, inplace: bool = False) -> Symbol:
    """Compute x * clip(x + 3, 0, 6) / 6; dividing first would cost two digits."""
    shifted = net.add(Power(shift=3), input, suffix="shifted")
    gate = clipped(net, shifted, 0, 6, suffix="clip")
    return net.add(Power(scale=1 / 6), net.add(PRODUCT, input, gate, suffix="product"))


@handles(F.hardsigmoid)
def hardsigmoid(net: Emitter, input: Symbol, inplace: bool = False) -> Symbol:
    """Compute clip(x / 6 + 1 / 2, 0, 1)."""
    return clipped(net, net.add(Power(scale=1 / 6, shift=0.5), input, suffix="scaled"), 0, 1)


@handles(F.softplus)
def softplus(net: Emitter, input: Symbol, beta: float = 1.0, threshold: float = 20.0) -> Symbol:
    """Compute log(1 + exp(beta x)) / beta; torch returns x itself where beta x > threshold."""
    if threshold < 15:  # log(1 + exp(-15)) / 15 = 2e-8, which is below float32's resolution
        scaled = input if beta == 1 else net.add(Power(scale=beta), input, suffix="scaled")
        large = net.add(Threshold(threshold=threshold), scaled, suffix="large")
        soft = inside(net, "soft", softplus, input, beta)
        return select(net, replace(large, dtype=torch.bool), input, soft)
    if beta == 1:
        return net.add(BNLL(), input)
    scaled = net.add(Power(scale=beta), input, suffix="scaled")
    return net.add(Power(scale=1 / beta), net.add(BNLL(), scaled, suffix="bnll"))


@handles(F.logsigmoid)
def logsigmoid(net: Emitter, input: Symbol) -> Symbol:
    """Compute -softplus(-x)."""
    softplus = net.add(BNLL(), net.add(Power(scale=-1), input, suffix="negative"), suffix="bnll")
    return net.add(Power(scale=-1), softplus)


@handles(F.mish)
def mish(net: Emitter, input: Symbol, inplace: bool = False) -> Symbol:
    gate = net.add(TanH(), net.add(BNLL(), input, suffix="bnll"), suffix="tanh")
    return net.add(PRODUCT, input, gate)


@handles(F.hardshrink)
def hardshrink(net: Emitter, input: Symbol, lambd: float = 0.5) -> Symbol:
    if lambd < 0:
        return net.add(Power(), input)  # torch keeps every x in that case
    size = net.add(AbsVal(), input, suffix="abs")
    return net.add(PRODUCT, input, net.add(Threshold(threshold=lambd), size, suffix="mask"))


@handles(F.softshrink)
def softshrink(net: Emitter, input: Symbol, lambd: float = 0.5) -> Symbol:
    """Compute relu(x - lambd) - relu(-x - lambd)."""
    above, below = (
        net.add(
            ReLU(), net.add(Power(scale=sign, shift=-lambd), input, suffix=suffix), suffix="relu"
        )
        for sign, suffix in ((1, "above"), (-1, "below"))
    )
    return net.add(Eltwise(coeff=(1, -1)), above, below)


@handles(F.threshold)
def threshold(
    net: Emitter, input: Symbol, threshold: float, value: float, inplace: bool = False
) -> Symbol:
    """Compute x * m + value * (1 - m), where m is 1 if x > threshold, else 0."""
    if threshold == value == 0:
        return net.add(ReLU(), input)
    mask = net.add(Threshold(threshold=threshold), input, suffix="mask")
    if value == 0:
        return net.add(PRODUCT, input, mask)
    kept = net.add(PRODUCT, input, mask, suffix="masked")
    filled = net.add(Power(scale=-value, shift=value), mask, suffix="filled")
    return net.add(Eltwise(), kept, filled)


@handles(F.glu)
def glu(net: Emitter, input: Symbol, dim: int = -1) -> Symbol:
    axis = positive(dim, input.rank)
    input.static_size(axis)
    halves = net.add_many(Slice(axis=axis), input, suffix="halves", tops=2)
    return net.add(PRODUCT, halves[0], net.add(Sigmoid(), halves[1], suffix="sigmoid"))


# In eval mode most dropouts return their input itself and are not traced; those that run in place,
# or add an axis to an unbatched input, are.
@handles(F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout)
def dropout(
    net: Emitter, input: Symbol, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Symbol:
    if training and p > 0:
        raise Refused("needs eval mode: call model.eval()")
    return input
