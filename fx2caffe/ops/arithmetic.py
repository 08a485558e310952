"""Negation, absolute value, roots and powers."""

from __future__ import annotations

import torch
from torch import Tensor

from caffe2fx.layers import AbsVal, Exp, Log, Power
from fx2caffe.ir.binary import PRODUCT
from fx2caffe.ir.constants import as_float32
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.blocks import (
    AnyOperand,
    affine,
    below,
    combined,
    constant_scalar,
    inside,
    is_positive,
    nonzero,
    opposite,
    product,
    spread,
)
from fx2caffe.ops.elementwise import add, mul
from fx2caffe.ops.rounding import floor, is_whole


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


@handles(torch.float_power)
def power(net: Emitter, input: AnyOperand, exponent: AnyOperand) -> Symbol:
    """Emit one layer if base or exponent is a single constant, else exp(y log(x)).

    The latter adds an error of 2^-24 y log(x); a base that may be 0 or less goes through |x| and a
    sign. Constant exponents give one Power layer for each different exponent.
    """
    if isinstance(exponent, Symbol) and (base := constant_scalar(input)) is not None:
        return net.add(Exp(base=_base(base)), exponent)
    if not isinstance(input, Symbol):
        _base(float(as_float32(input).min()))
        logarithm: AnyOperand = as_float32(input).double().log().float()
        return net.add(Exp(), product(net, logarithm, exponent, suffix="exponent"))
    if not isinstance(exponent, Symbol) and (_is_lone(exponent) or not is_positive(net, input)):
        return _constant_powers(net, input, as_float32(exponent))
    if not is_positive(net, input):
        return _signed_power(net, *spread(net, input, exponent))
    logarithm = net.add(Log(), input, suffix="log")
    return net.add(Exp(), product(net, logarithm, exponent, suffix="exponent"))


def _is_lone(exponents: AnyOperand) -> bool:
    """Return whether the exponents are a constant with a single value."""
    return not isinstance(exponents, Symbol) and len(_different(exponents)) == 1


def _different(exponents: AnyOperand) -> list[float]:
    return sorted(set(as_float32(exponents).flatten().tolist()))


MOST_POWERS = 64


def _constant_powers(net: Emitter, input: Symbol, exponents: Tensor) -> Symbol:
    """Multiply powers of x, one for each different exponent, each 1 where the exponent is another.

    That is exact: 1 to any power is 1.
    """
    found = _different(exponents)
    if len(found) == 1 and exponents.numel() == 1 and exponents.dim() <= input.rank:
        return net.add(Power(power=found[0]), input)
    if len(found) > MOST_POWERS:
        raise Refused(f"needs at most {MOST_POWERS} different exponents, got {len(found)}")
    powers = []
    for index, value in enumerate(found):
        mask = (exponents == value).float()
        own = inside(net, f"own{index}", mul, input, mask)
        filled = inside(net, f"filled{index}", add, own, 1 - mask)
        powers.append(net.add(Power(power=value), filled, suffix=f"power{index}"))
    return powers[0] if len(powers) == 1 else net.add(PRODUCT, *powers)


def _signed_power(net: Emitter, base: Symbol, exponent: Symbol) -> Symbol:
    """Compute x^y for any signs: 1 where y is 0, NaN where x < 0 and y is not an integer."""
    is_nonzero = nonzero(net, exponent, suffix="nonzero")
    is_zero = opposite(net, is_nonzero, suffix="zero")
    size = net.add(
        PRODUCT, net.add(AbsVal(), base, suffix="size"), is_nonzero, suffix="nonzero_size"
    )
    logarithm = net.add(
        Log(), combined(net, [(1, size), (1, is_zero)], suffix="nonzero"), suffix="log"
    )
    scaled = net.add(PRODUCT, exponent, logarithm, suffix="exponent")
    down = below(net, base, 0, suffix="is_negative")
    if not is_whole(exponent):
        scaled = combined(
            net, [(1, scaled), (1, _undefined(net, down, exponent))], suffix="defined"
        )
    halves = inside(net, "halves", floor, affine(net, exponent, 0.5, suffix="half"))
    odd = combined(net, [(1, exponent), (-2, halves)], suffix="odd")
    turned = net.add(PRODUCT, down, odd, suffix="negated")
    sign = affine(net, turned, -2, 1, suffix="sign")
    return net.add(PRODUCT, net.add(Exp(), scaled, suffix="absolute"), sign)


def _undefined(net: Emitter, down: Symbol, exponent: Symbol) -> Symbol:
    """Return NaN, as log(-1), where a base is negative and its exponent fractional, else 0."""
    whole = inside(net, "whole", floor, exponent)
    rest = combined(net, [(1, exponent), (-1, whole)], suffix="fraction")
    broken = net.add(PRODUCT, down, nonzero(net, rest, suffix="is_fractional"), suffix="undefined")
    return net.add(Log(scale=-2, shift=1), broken, suffix="nan")


def _base(value: float) -> float:
    if not value > 0:
        raise Refused(f"needs a base above 0, got {value}")
    return value
