"""Functions of one number: powers, exponentials, logarithms."""

from __future__ import annotations

import torch
from torch import Tensor

from caffe2fx.layers import AbsVal, Exp, Log, Power
from fx2caffe.emit import Emitter, Refused, Symbol
from fx2caffe.lower import handles


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


@handles(torch.pow)
def power(
    net: Emitter, input: Symbol | Tensor | float, exponent: Symbol | Tensor | float
) -> Symbol:
    if isinstance(input, Symbol):
        return net.add(Power(power=_number("exponent", exponent)), input)
    base = _number("base", input)
    if not base > 0:
        raise Refused(f"needs a base above 0, got {base}")
    assert isinstance(exponent, Symbol)  # a call of constants alone is not traced
    return net.add(Exp(base=base), exponent)


def _number(name: str, value: Symbol | Tensor | float) -> float:
    if isinstance(value, Symbol) or (isinstance(value, Tensor) and value.dim() > 0):
        raise Refused(f"needs a constant number as {name}, got a tensor of {tuple(value.shape)}")
    return float(value)


@handles(torch.exp)
def exp(net: Emitter, input: Symbol) -> Symbol:
    return net.add(Exp(), input)


@handles(torch.exp2)
def exp2(net: Emitter, input: Symbol) -> Symbol:
    return net.add(Exp(base=2), input)


@handles(torch.expm1)
def expm1(net: Emitter, input: Symbol) -> Symbol:
    return net.add(Power(shift=-1), net.add(Exp(), input, role="exp"))


@handles(torch.log)
def log(net: Emitter, input: Symbol) -> Symbol:
    return net.add(Log(), input)


@handles(torch.log1p)
def log1p(net: Emitter, input: Symbol) -> Symbol:
    return net.add(Log(shift=1), input)


@handles(torch.log2)
def log2(net: Emitter, input: Symbol) -> Symbol:
    return net.add(Log(base=2), input)


@handles(torch.log10)
def log10(net: Emitter, input: Symbol) -> Symbol:
    return net.add(Log(base=10), input)
