"""Signs and powers."""

from __future__ import annotations

import torch

from caffe2fx.layers import AbsVal, Exp, Log, Power
from fx2caffe.ir.constants import as_float32
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.blocks import Operand, product


@handles(torch.neg)
def neg(net: Emitter, input: Symbol) -> Symbol:
    return net.add(Power(scale=-1), input)


@handles(torch.abs)
def absolute(net: Emitter, input: Symbol) -> Symbol:
    return net.add(AbsVal(), input)


@handles(torch.square)
def square(net: Emitter, input: Symbol) -> Symbol:
    return net.add(Power(power=2), input)


@handles(torch.sqrt)
def sqrt(net: Emitter, input: Symbol) -> Symbol:
    return net.add(Power(power=0.5), input)


@handles(torch.rsqrt)
def rsqrt(net: Emitter, input: Symbol) -> Symbol:
    return net.add(Power(power=-0.5), input)


@handles(torch.reciprocal)
def reciprocal(net: Emitter, input: Symbol) -> Symbol:
    return net.add(Power(power=-1), input)


@handles(torch.pow, torch.float_power)
def power(net: Emitter, input: Operand, exponent: Operand) -> Symbol:
    """Of a number as base or exponent one layer; of two tensors exp(y log(x)), for x above 0.

    That errs by 2^-24 of y log(x) more. Of bases below 0 it is NaN, as in torch for all exponents
    but whole ones; where base and exponent are both 0 it is NaN too.
    """
    if isinstance(input, Symbol) and (number := _number(exponent)) is not None:
        return net.add(Power(power=number), input)
    if isinstance(exponent, Symbol) and (number := _number(input)) is not None:
        return net.add(Exp(base=_base(number)), exponent)
    if isinstance(input, Symbol):
        logarithm: Operand = net.add(Log(), input, role="log")
    else:
        logarithm = as_float32(input).double().log().float()
        _base(float(as_float32(input).min()))
    return net.add(Exp(), product(net, logarithm, exponent, role="exponent"))


def _number(value: Operand) -> float | None:
    """A constant number; None for tensors of several and traced ones."""
    if isinstance(value, Symbol):
        return None
    constant = as_float32(value)
    return float(constant) if constant.dim() == 0 else None


def _base(number: float) -> float:
    if not number > 0:
        raise Refused(f"needs a base above 0, got {number}")
    return number
