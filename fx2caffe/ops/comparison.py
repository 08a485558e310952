"""Comparisons, logic and signs: masks are 1 where the condition holds and 0 elsewhere.

Comparisons are exact for all elements, infinite ones included. NaN compares as equal to
everything, but `x != x` is `isnan(x)`.
"""

from __future__ import annotations

from math import pi

import torch

from caffe2fx.layers import AbsVal, Power
from fx2caffe.ir.binary import PRODUCT, BinaryOp
from fx2caffe.ir.constants import LARGEST, as_float32
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.finite import as_test
from fx2caffe.ir.symbol import Symbol
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.blocks import (
    MAXIMUM,
    AnyOperand,
    above,
    affine,
    after,
    before,
    below,
    combined,
    constant_scalar,
    difference,
    extreme,
    inside,
    inverse,
    negated,
    nonzero,
    opposite,
    product,
    weighted_sum,
)
from fx2caffe.ops.blocks import sign as sign_of


@handles(torch.gt)
def gt(net: Emitter, input: AnyOperand, other: AnyOperand) -> Symbol:
    if isinstance(input, Symbol) and (bound := constant_scalar(other)) is not None:
        return above(net, input, bound)
    if isinstance(other, Symbol) and (bound := constant_scalar(input)) is not None:
        return below(net, other, bound)
    return above(net, difference(net, input, other, suffix="difference"), 0)


@handles(torch.ge)
def ge(net: Emitter, input: AnyOperand, other: AnyOperand) -> Symbol:
    """Compute x >= b as x > b' with the float32 below b; for two tensors as not (b > x)."""
    if isinstance(input, Symbol) and (bound := constant_scalar(other)) is not None:
        return above(net, input, before(bound))
    if isinstance(other, Symbol) and (bound := constant_scalar(input)) is not None:
        return below(net, other, after(bound))
    return opposite(net, inside(net, "less", gt, other, input))


@handles(torch.lt)
def lt(net: Emitter, input: AnyOperand, other: AnyOperand) -> Symbol:
    return gt(net, other, input)


@handles(torch.le)
def le(net: Emitter, input: AnyOperand, other: AnyOperand) -> Symbol:
    return ge(net, other, input)


@handles(torch.eq)
def eq(net: Emitter, input: AnyOperand, other: AnyOperand) -> Symbol:
    """Compute x == b as x >= b and not x > b; for two tensors as not |x - b| > 0."""
    symbol, scalar = _with_scalar(input, other)
    if symbol is None or scalar is None:
        return opposite(net, inside(net, "different", ne, input, other))
    if symbol.dtype is torch.bool and scalar in (0, 1):
        return net.add(Power(), symbol) if scalar else opposite(net, symbol)
    reached = above(net, symbol, before(scalar), suffix="is_reached")
    return combined(net, [(1, reached), (-1, above(net, symbol, scalar, suffix="above"))])


@handles(torch.ne)
def ne(net: Emitter, input: AnyOperand, other: AnyOperand) -> Symbol:
    symbol, scalar = _with_scalar(input, other)
    if symbol is not None and scalar is not None:
        return opposite(net, inside(net, "equal", eq, symbol, scalar))
    if isinstance(input, Symbol) and isinstance(other, Symbol) and input.value == other.value:
        return isnan(net, input)
    distance = net.add(
        AbsVal(), difference(net, input, other, suffix="difference"), suffix="distance"
    )
    return above(net, distance, 0)


def _with_scalar(input: AnyOperand, other: AnyOperand) -> tuple[Symbol | None, float | None]:
    symbol, value = (input, other) if isinstance(input, Symbol) else (other, input)
    return symbol if isinstance(symbol, Symbol) else None, constant_scalar(value)


@handles(torch.isclose)
def isclose(
    net: Emitter, input: AnyOperand, other: AnyOperand, rtol: float = 1e-05, atol: float = 1e-08
) -> Symbol:
    """Compute |x - y| <= atol + rtol |y|, for finite elements."""
    distance = net.add(
        AbsVal(), difference(net, input, other, suffix="difference"), suffix="distance"
    )
    if not isinstance(other, Symbol):
        return le(net, distance, atol + rtol * as_float32(other).abs())
    size = net.add(AbsVal(), other, suffix="size")
    return le(net, distance, affine(net, size, rtol, atol, suffix="tolerance"))


# NaN and infinity


@handles(torch.isnan)
def isnan(net: Emitter, input: Symbol) -> Symbol:
    """Compute isnan as not (|x| > -1), which holds for every other element."""
    size = net.add(AbsVal(), input, suffix="size")
    return as_test(net, opposite(net, above(net, size, -1, suffix="index")))


@handles(torch.isinf)
def isinf(net: Emitter, input: Symbol) -> Symbol:
    return as_test(net, above(net, net.add(AbsVal(), input, suffix="size"), LARGEST))


@handles(torch.isposinf)
def isposinf(net: Emitter, input: Symbol) -> Symbol:
    return as_test(net, above(net, input, LARGEST))


@handles(torch.isneginf)
def isneginf(net: Emitter, input: Symbol) -> Symbol:
    return as_test(net, below(net, input, -LARGEST))


@handles(torch.isfinite)
def isfinite(net: Emitter, input: Symbol) -> Symbol:
    """Return 1 where an element is neither NaN nor infinite."""
    size = net.add(AbsVal(), input, suffix="size")
    not_nan, infinite = (
        above(net, size, -1, suffix="index"),
        above(net, size, LARGEST, suffix="inf"),
    )
    return as_test(net, combined(net, [(1, not_nan), (-1, infinite)]))


@handles(torch.isreal)
def isreal(net: Emitter, input: Symbol) -> Symbol:
    """Return ones: every element of a blob is real."""
    return affine(net, input, 0, 1)


@handles(torch.nan_to_num)
def nan_to_num(
    net: Emitter,
    input: Symbol,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Symbol:
    """Add max(x, 0) and -max(-x, 0), each clipped; Caffe's maximum of NaN and 0 is 0."""
    zeros = affine(net, input, 0, suffix="zeros")
    up = net.add(MAXIMUM, input, zeros, suffix="positive_part")
    down = net.add(MAXIMUM, negated(net, input, suffix="negative"), zeros, suffix="negative_part")
    most = _finite(net, up, posinf, "most")
    least = _finite(net, down, None if neginf is None else -neginf, "least")
    if not nan:
        return combined(net, [(1, most), (-1, least)])
    lost = inside(net, "nan", isnan, input)
    return combined(net, [(1, most), (-1, least), (nan, lost)])


def _finite(net: Emitter, part: Symbol, instead: float | None, suffix: str) -> Symbol:
    """Replace infinity in a non-negative part by the largest float32, or by `instead`."""
    bound = affine(net, part, 0, -LARGEST, suffix=f"{suffix}_bound")
    cut = net.add(
        MAXIMUM, negated(net, part, suffix=f"{suffix}_negative"), bound, suffix=f"{suffix}_cut"
    )
    if instead is None:
        return negated(net, cut, suffix=suffix)
    infinite = above(net, part, LARGEST, suffix=f"{suffix}_infinite")
    taken = net.add(PRODUCT, cut, infinite, suffix=f"{suffix}_taken")
    return combined(net, [(-1, cut), (1, taken), (instead, infinite)], suffix=suffix)


# Logic


def _mask(net: Emitter, value: AnyOperand, suffix: str) -> AnyOperand:
    if isinstance(value, Symbol):
        return nonzero(net, value, suffix)
    return (torch.as_tensor(value) != 0).float()


@handles(torch.logical_and)
def logical_and(net: Emitter, input: AnyOperand, other: AnyOperand) -> Symbol:
    return product(net, _mask(net, input, "first"), _mask(net, other, "second"))


@handles(torch.logical_or)
def logical_or(net: Emitter, input: AnyOperand, other: AnyOperand) -> Symbol:
    return extreme(net, BinaryOp.MAX, _mask(net, input, "first"), _mask(net, other, "second"))


@handles(torch.logical_xor)
def logical_xor(net: Emitter, input: AnyOperand, other: AnyOperand) -> Symbol:
    """Compute logical_xor as the absolute difference of two masks."""
    masks = _mask(net, input, "first"), _mask(net, other, "second")
    return net.add(AbsVal(), difference(net, *masks, suffix="difference"))


@handles(torch.logical_not)
def logical_not(net: Emitter, input: Symbol) -> Symbol:
    return opposite(net, nonzero(net, input, "mask"))


# Signs


@handles(torch.sign, torch.sgn)
def sign(net: Emitter, input: Symbol) -> Symbol:
    return sign_of(net, input)


@handles(torch.signbit)
def signbit(net: Emitter, input: Symbol) -> Symbol:
    """Compute x < 0 or 1 / x < 0: the second finds -0, the first -inf."""
    down = below(net, input, 0, suffix="is_negative")
    inverted = inverse(net, input, -1, suffix="inverse")
    return net.add(MAXIMUM, down, above(net, inverted, 0, suffix="inverse_below"))


@handles(torch.copysign)
def copysign(net: Emitter, input: AnyOperand, other: AnyOperand) -> Symbol:
    """Compute |x| (1 - 2 signbit(y))."""
    size: AnyOperand = (
        net.add(AbsVal(), input, suffix="size")
        if isinstance(input, Symbol)
        else as_float32(input).abs()
    )
    if not isinstance(other, Symbol):
        return product(net, size, torch.copysign(torch.ones(()), as_float32(other)))
    turned = inside(net, "signbit", signbit, other)
    return product(net, size, affine(net, turned, -2, 1, suffix="sign"))


@handles(torch.heaviside)
def heaviside(net: Emitter, input: AnyOperand, values: AnyOperand) -> Symbol:
    """Return 1 where x > 0, `values` where x is 0, 0 where x < 0."""
    if not isinstance(input, Symbol):
        constant = as_float32(input)
        step = (constant > 0).float()
        return weighted_sum(
            net, product(net, values, (constant == 0).float(), suffix="at_zero"), step
        )
    at = product(net, inside(net, "zero", eq, input, 0), values, suffix="at_zero")
    return weighted_sum(net, above(net, input, 0, suffix="above"), at)


@handles(torch.angle)
def angle(net: Emitter, input: Symbol) -> Symbol:
    """Compute torch.angle of real elements: pi where they are negative."""
    return affine(net, below(net, input, 0, suffix="is_negative"), pi)
