"""Division: quotients, rounded quotients, and remainders.

A quotient x / d is rounded to an integer first; whether that multiple of d lies beyond x shows
whether it is one too large. So integers up to 2^24 are divided exactly, whatever the rounding of
x / d, and so are floats divided by a constant, for quotients up to 2^16. For other floats the
multiple of the divisor is rounded once, by at most 2^-24 of x.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from caffe2fx.layers import AbsVal
from fx2caffe.ir.constants import as_float32
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.blocks import (
    AnyOperand,
    above,
    combined,
    difference,
    inside,
    inverse,
    negated,
    product,
    quotient,
    sign,
    split_float,
)
from fx2caffe.ops.rounding import Ratio
from fx2caffe.ops.rounding import round as nearest


@handles(torch.div)
def div(
    net: Emitter, input: AnyOperand, other: AnyOperand, *, rounding_mode: str | None = None
) -> Symbol:
    if rounding_mode == "floor":
        return floor_divide(net, input, other)
    if rounding_mode == "trunc":
        return _truncated(net, input, other)
    found = quotient(net, input, other)
    if _is_integer(input) and _is_integer(other):
        # Rounded to float32 the quotient may fall short of the integer that it is.
        net.annotations[found.value] = Ratio(
            floor=lambda: floor_divide(net, input, other),
            ceil=lambda: _negative(net, floor_divide(net, _negative(net, input), other)),
            trunc=lambda: _truncated(net, input, other),
        )
    return found


def _is_integer(value: AnyOperand) -> bool:
    if isinstance(value, Symbol | Tensor):
        return not value.dtype.is_floating_point
    return float(value).is_integer()


def _negative(net: Emitter, value: AnyOperand) -> AnyOperand:
    return negated(net, value, suffix="negative") if isinstance(value, Symbol) else -value


@handles(torch.floor_divide)
def floor_divide(net: Emitter, input: AnyOperand, other: AnyOperand) -> Symbol:
    """Compute floor(x / d)."""
    parts = _divided(net, input, other)
    return difference(net, parts.whole, parts.over)


@handles(torch.remainder)
def remainder(net: Emitter, input: AnyOperand, other: AnyOperand) -> Symbol:
    """Compute x - floor(x / d) d, which has the sign of d; for quotients up to 2^23."""
    parts = _divided(net, input, other)
    back = product(net, parts.over, other, suffix="multiple")
    return difference(net, back, parts.excess)


@handles(torch.fmod)
def fmod(net: Emitter, input: AnyOperand, other: AnyOperand) -> Symbol:
    """Compute the remainder of |x| and |d|, with the sign of x; for quotients up to 2^23."""
    sizes = _size(net, input), _size(net, other)
    return _signed(net, inside(net, "remainder", remainder, *sizes), input)


def _truncated(net: Emitter, input: AnyOperand, other: AnyOperand) -> Symbol:
    """Compute floor(|x| / |d|), with the sign of the quotient."""
    sizes = _size(net, input), _size(net, other)
    count = inside(net, "count", floor_divide, *sizes)
    return _signed(net, count, quotient(net, input, other, suffix="signed"))


def _size(net: Emitter, value: AnyOperand) -> AnyOperand:
    if isinstance(value, Symbol):
        return net.add(AbsVal(), value, suffix="size")
    return as_float32(value).abs()


def _signed(net: Emitter, size: Symbol, signed: AnyOperand) -> Symbol:
    if isinstance(signed, Symbol):
        return product(net, size, sign(net, signed, suffix="sign"))
    return product(net, size, torch.sign(as_float32(signed)))


class Divided(NamedTuple):
    """Holds a division: `whole` is x / d rounded to an integer, `excess` is whole d - x.

    `over` is 1 where whole d lies beyond x in the direction of d, else 0.
    """

    whole: Symbol
    excess: Symbol
    over: Symbol


def _divided(net: Emitter, input: AnyOperand, other: AnyOperand) -> Divided:
    count = inside(net, "count", nearest, quotient(net, input, other, suffix="quotient"))
    excess = _excess(net, count, input, other)
    return Divided(count, excess, above(net, _towards(net, excess, other), 0, suffix="is_over"))


def _excess(net: Emitter, count: Symbol, input: AnyOperand, other: AnyOperand) -> Symbol:
    """Compute count * d - x; a constant d is split into terms so that nothing is rounded."""
    constant = None if isinstance(other, Symbol) else as_float32(other)
    whole = isinstance(input, Symbol) and input.shape == count.shape
    if constant is None or constant.numel() > 1 or not whole:
        return difference(
            net, product(net, count, other, suffix="multiple"), input, suffix="excess"
        )
    first, *others = split_float(float(constant), 8, 3)
    assert isinstance(input, Symbol)
    terms = [(first, count), (-1.0, input), *((digits, count) for digits in others)]
    return combined(net, terms, suffix="excess")


def _towards(net: Emitter, excess: Symbol, other: AnyOperand) -> Symbol:
    if isinstance(other, Symbol):
        return product(net, excess, inverse(net, other, suffix="inverse"), suffix="part")
    signs = torch.sign(as_float32(other))
    if bool((signs == 0).any()):
        raise Refused("needs a divisor other than 0, got 0")
    return excess if bool((signs > 0).all()) else product(net, excess, signs, suffix="part")
