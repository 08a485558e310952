"""Arithmetic between tensors, and of tensors with constants."""

from __future__ import annotations

import torch
from torch import Tensor

from caffe2fx.layers import Bias, Clip, Power, Scale
from fx2caffe.emit import Emitter, Refused, Symbol
from fx2caffe.legalize.activation import LARGEST
from fx2caffe.legalize.binary import Binary, BinaryOp
from fx2caffe.lower import handles
from fx2caffe.ops.constant import as_float32, as_symbol

Operand = Symbol | Tensor | float | int


@handles(torch.add)
def add(net: Emitter, input: Operand, other: Operand, alpha: float = 1) -> Symbol:
    return _sum(net, input, other, (1.0, float(alpha)))


@handles(torch.sub)
def sub(net: Emitter, input: Operand, other: Operand, alpha: float = 1) -> Symbol:
    return _sum(net, input, other, (1.0, -float(alpha)))


def _sum(net: Emitter, first: Operand, second: Operand, coeff: tuple[float, float]) -> Symbol:
    """A weighted sum of two operands, of which one or both are traced."""
    if not isinstance(first, Symbol):
        first, second, coeff = second, first, coeff[::-1]
    assert isinstance(first, Symbol)  # a call of constants alone is not traced
    if isinstance(second, Symbol):
        return net.add(Binary(op=BinaryOp.ADD, coeff=coeff), first, second)
    shift = as_float32(second) * coeff[1]
    if _is_number(shift, first):
        return net.add(Power(scale=coeff[0], shift=float(shift)), first)
    run = run_of(shift, first)
    if run is None:
        constant = as_symbol(net, shift, role="constant")
        return net.add(Binary(op=BinaryOp.ADD, coeff=(coeff[0], 1.0)), first, constant)
    if coeff[0] != 1:
        first = net.add(Power(scale=coeff[0]), first, role="scaled")
    return net.add(Bias(axis=run[0], num_axes=run[1].dim()), first, blobs=[run[1]])


@handles(torch.mul)
def mul(net: Emitter, input: Operand, other: Operand) -> Symbol:
    first, second = (input, other) if isinstance(input, Symbol) else (other, input)
    assert isinstance(first, Symbol)  # a call of constants alone is not traced
    if isinstance(second, Symbol):
        return net.add(Binary(op=BinaryOp.MUL), first, second)
    return times(net, first, as_float32(second))


def times(net: Emitter, input: Symbol, factor: Tensor) -> Symbol:
    """A traced tensor times a constant of any shape that broadcasts with it."""
    if _is_number(factor, input):
        return net.add(Power(scale=float(factor)), input)
    run = run_of(factor, input)
    if run is None:
        constant = as_symbol(net, factor, role="constant")
        return net.add(Binary(op=BinaryOp.MUL), input, constant)
    return net.add(Scale(axis=run[0], num_axes=run[1].dim()), input, blobs=[run[1]])


@handles(torch.div)
def div(net: Emitter, input: Operand, other: Operand) -> Symbol:
    """A division by a constant is a multiplication by its inverse: at most one rounding more."""
    if isinstance(input, Symbol) and isinstance(other, Symbol):
        return net.add(Binary(op=BinaryOp.DIV), input, other)
    if isinstance(other, Symbol):
        return times(net, net.add(Power(power=-1), other, role="inverse"), as_float32(input))
    assert isinstance(input, Symbol)  # a call of constants alone is not traced
    divisor = as_float32(other)
    if bool((divisor == 0).any()):
        raise Refused("needs a divisor other than 0, got 0")
    return times(net, input, divisor.double().reciprocal().float())


@handles(torch.maximum)
def maximum(net: Emitter, input: Operand, other: Operand) -> Symbol:
    first, second = (input, other) if isinstance(input, Symbol) else (other, input)
    return _extreme(net, BinaryOp.MAX, first, second)


@handles(torch.minimum)
def minimum(net: Emitter, input: Operand, other: Operand) -> Symbol:
    first, second = (input, other) if isinstance(input, Symbol) else (other, input)
    return _extreme(net, BinaryOp.MIN, first, second)


def _extreme(net: Emitter, op: BinaryOp, first: Operand, second: Operand) -> Symbol:
    assert isinstance(first, Symbol)  # a call of constants alone is not traced
    if not isinstance(second, Symbol) and _is_number(as_float32(second), first):
        bound = float(as_float32(second))
        is_max = op is BinaryOp.MAX
        return clipped(net, first, bound if is_max else None, None if is_max else bound)
    return net.add(Binary(op=op), first, as_symbol(net, second, role="constant"))


def clipped(
    net: Emitter, input: Symbol, low: float | None, high: float | None, role: str = ""
) -> Symbol:
    """Cut to [low, high]; None and infinity are no bound. As in torch, high wins over low."""
    least = -LARGEST if low is None else min(max(low, -LARGEST), LARGEST)
    most = LARGEST if high is None else min(max(high, -LARGEST), LARGEST)
    return net.add(Clip(min=min(least, most), max=most), input, role=role)


@handles(torch.clamp)
def clamp(
    net: Emitter, input: Symbol, min: Operand | None = None, max: Operand | None = None
) -> Symbol:
    if not isinstance(min, Symbol | Tensor) and not isinstance(max, Symbol | Tensor):
        return clipped(net, input, min, max)
    input = input if min is None else _extreme(net, BinaryOp.MAX, input, min)
    return input if max is None else _extreme(net, BinaryOp.MIN, input, max)


@handles(torch.clamp_min)
def clamp_min(net: Emitter, input: Symbol, min: Operand) -> Symbol:
    return clamp(net, input, min=min)


@handles(torch.clamp_max)
def clamp_max(net: Emitter, input: Symbol, max: Operand) -> Symbol:
    return clamp(net, input, max=max)


def _is_number(constant: Tensor, input: Symbol) -> bool:
    return constant.numel() == 1 and constant.dim() <= input.rank


def run_of(constant: Tensor, input: Symbol) -> tuple[int, Tensor] | None:
    """A constant as a run of the axes of `input`: first axis and blob; None if it does not fit in.

    Raises Refused for a constant that goes along the batch.
    """
    if constant.dim() > input.rank:
        return None
    full = constant.reshape((1,) * (input.rank - constant.dim()) + tuple(constant.shape))
    sides = list(zip(full.shape, input.shape, strict=True))
    if any(size not in (1, wide) for size, wide in sides):
        return None
    used = [axis for axis, (size, _) in enumerate(sides) if size != 1]
    first, last = (used[0], used[-1]) if used else (0, 0)
    sizes = [input.fixed(axis) for axis in range(first, last + 1)]
    return first, full.reshape(full.shape[first : last + 1]).expand(sizes).contiguous()
