"""Elementwise arithmetic between tensors, and between tensors and constants."""

from __future__ import annotations

import torch
from torch import Tensor

from caffe2fx.layers import Exp, Power
from fx2caffe.ir.binary import BinaryOp
from fx2caffe.ir.constants import as_float32
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Symbol
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.blocks import (
    AnyOperand,
    affine,
    clipped,
    difference,
    extreme,
    product,
    quotient,
    weighted_sum,
)


@handles(torch.add)
def add(
    net: Emitter,
    input: AnyOperand,
    other: AnyOperand,
    alpha: float = 1,
    *,
    out: Expected | None = None,
) -> Symbol:
    """Compute input + alpha * other; for masks torch's sum is the logical or."""
    if out is not None and out.meta.dtype is torch.bool:
        return extreme(net, BinaryOp.MAX, input, other)
    return weighted_sum(net, input, other, (1.0, float(alpha)))


@handles(torch.sub)
def sub(net: Emitter, input: AnyOperand, other: AnyOperand, alpha: float = 1) -> Symbol:
    return weighted_sum(net, input, other, (1.0, -float(alpha)))


@handles(torch.mul)
def mul(net: Emitter, input: AnyOperand, other: AnyOperand) -> Symbol:
    return product(net, input, other)


@handles(torch.maximum, torch.fmax)
def maximum(net: Emitter, input: AnyOperand, other: AnyOperand) -> Symbol:
    return extreme(net, BinaryOp.MAX, input, other)


@handles(torch.minimum, torch.fmin)
def minimum(net: Emitter, input: AnyOperand, other: AnyOperand) -> Symbol:
    return extreme(net, BinaryOp.MIN, input, other)


@handles(torch.clamp)
def clamp(
    net: Emitter, input: Symbol, min: AnyOperand | None = None, max: AnyOperand | None = None
) -> Symbol:
    if not isinstance(min, Symbol | Tensor) and not isinstance(max, Symbol | Tensor):
        return clipped(net, input, min, max)
    input = input if min is None else extreme(net, BinaryOp.MAX, input, min)
    return input if max is None else extreme(net, BinaryOp.MIN, input, max)


@handles(torch.clamp_min)
def clamp_min(net: Emitter, input: Symbol, min: AnyOperand) -> Symbol:
    return clamp(net, input, min=min)


@handles(torch.clamp_max)
def clamp_max(net: Emitter, input: Symbol, max: AnyOperand) -> Symbol:
    return clamp(net, input, max=max)


@handles(torch.lerp)
def lerp(net: Emitter, input: AnyOperand, end: AnyOperand, weight: AnyOperand) -> Symbol:
    """Compute (1 - weight) input + weight end, for tensors as input + weight (end - input)."""
    if not isinstance(weight, Symbol | Tensor) or (
        isinstance(weight, Tensor) and weight.dim() == 0
    ):
        return weighted_sum(net, input, end, (1 - float(weight), float(weight)))
    step = product(net, _difference(net, end, input), weight, suffix="step")
    return weighted_sum(net, step, input)


def _difference(net: Emitter, first: AnyOperand, second: AnyOperand) -> AnyOperand:
    if isinstance(first, Symbol) or isinstance(second, Symbol):
        return difference(net, first, second, suffix="difference")
    return torch.as_tensor(first) - torch.as_tensor(second)


@handles(torch.addcmul)
def addcmul(
    net: Emitter, input: AnyOperand, tensor1: AnyOperand, tensor2: AnyOperand, *, value: float = 1
) -> Symbol:
    """Compute input + value * tensor1 * tensor2."""
    if isinstance(tensor1, Symbol) or isinstance(tensor2, Symbol):
        made: AnyOperand = product(net, tensor1, tensor2, suffix="product")
    else:
        made = torch.as_tensor(tensor1) * torch.as_tensor(tensor2)
    return weighted_sum(net, input, made, (1.0, float(value)))


@handles(torch.addcdiv)
def addcdiv(
    net: Emitter, input: AnyOperand, tensor1: AnyOperand, tensor2: AnyOperand, *, value: float = 1
) -> Symbol:
    """Compute input + value * tensor1 / tensor2."""
    if isinstance(tensor1, Symbol) or isinstance(tensor2, Symbol):
        made: AnyOperand = quotient(net, tensor1, tensor2, suffix="quotient")
    else:
        made = torch.as_tensor(tensor1) / torch.as_tensor(tensor2)
    return weighted_sum(net, input, made, (1.0, float(value)))


@handles(torch.hypot)
def hypot(net: Emitter, input: AnyOperand, other: AnyOperand) -> Symbol:
    """Compute sqrt(x^2 + y^2) for magnitudes from 1e-19 to 1e19, whose squares float32 holds."""
    total = weighted_sum(net, _square(net, input), _square(net, other), suffix="sum")
    return net.add(Power(power=0.5), total)


def _square(net: Emitter, side: AnyOperand) -> AnyOperand:
    if isinstance(side, Symbol):
        return net.add(Power(power=2), side, suffix="square")
    return as_float32(side) ** 2


@handles(torch.ldexp)
def ldexp(net: Emitter, input: AnyOperand, other: AnyOperand) -> Symbol:
    """Compute input * 2^other."""
    if isinstance(other, Symbol):
        return product(net, input, net.add(Exp(base=2), other, suffix="power"))
    return product(net, input, torch.exp2(torch.as_tensor(other).float()))


@handles(torch.fill)
def fill(net: Emitter, input: Symbol, value: AnyOperand) -> Symbol:
    """Fill a tensor of the input's shape with a value."""
    if not isinstance(value, Symbol):
        return affine(net, input, 0, float(as_float32(value)))
    return weighted_sum(net, affine(net, input, 0, suffix="zeros"), value)
