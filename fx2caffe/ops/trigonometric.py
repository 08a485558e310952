"""Angles: sin, cos, tan and their inverses, by reduction to a short range and a polynomial.

The polynomials are fitted to the relative error: each is within 2e-8 of its function.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import pi

import torch

from caffe2fx.layers import AbsVal, Power, ReLU
from fx2caffe.ir.binary import PRODUCT
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Symbol
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.blocks import (
    MAXIMUM,
    AnyOperand,
    above,
    affine,
    below,
    clipped,
    combined,
    inverse,
    negated,
    opposite,
    polynomial,
    rounded,
    spread,
    with_sign_of,
    without_multiples,
)

# f(r) / r as a polynomial of r^2.
_SIN = (0.999999995, -0.166666567, 0.00833302514, -0.000198074187, 2.601903e-06)  # |r| <= pi / 2
_TAN = (  # |r| <= pi / 4
    1.00000002, 0.33333076, 0.133398906, 0.0533491531, 0.0246007971, 0.00289586626, 0.00949822905
)  # fmt: skip
_ATAN = (  # |r| <= 1
    0.999999985, -0.333330733, 0.199926187, -0.14203639, 0.106409125, -0.0750424854, 0.0426909743,
    -0.0160682928, 0.00284980542,
)  # fmt: skip
_ASIN = (  # |r| <= 1 / 2
    0.999999996, 0.166667901, 0.0749443497, 0.0455501624, 0.0238582738, 0.0426354755
)  # fmt: skip


def _odd(net: Emitter, input: Symbol, factors: Sequence[float], suffix: str = "") -> Symbol:
    square = net.add(Power(power=2), input, suffix="square")
    return net.add(
        PRODUCT, input, polynomial(net, square, factors, suffix="polynomial"), suffix=suffix
    )


@handles(torch.sin)
def sin(net: Emitter, input: Symbol) -> Symbol:
    """Compute the sine, accurate to float32 for |x| up to 4e5; turns are subtracted in exact parts.

    Beyond, the error grows as x * 2^-40; from 2.6e7 on turns can no longer be counted.
    """
    return _sin_of_turn(net, _turn(net, input))


@handles(torch.cos)
def cos(net: Emitter, input: Symbol) -> Symbol:
    """Compute sin(pi / 2 - |r|), in the range of `sin`."""
    size = net.add(AbsVal(), _turn(net, input), suffix="size")
    return _odd(net, affine(net, size, -1, pi / 2, suffix="complement"), _SIN)


def _turn(net: Emitter, input: Symbol) -> Symbol:
    """Subtract whole turns from x: the result is from -pi to pi."""
    turns = rounded(net, input, 1 / (2 * pi), suffix="turns")
    return without_multiples(net, input, turns, 2 * pi, suffix="angle")


def _sin_of_turn(net: Emitter, turn: Symbol, suffix: str = "") -> Symbol:
    """Compute the sine of an angle from -pi to pi, folded at pi / 2."""
    right, left = (
        net.add(ReLU(), affine(net, turn, side, -pi / 2, suffix=f"{name}_of"), suffix=name)
        for side, name in ((1, "right"), (-1, "left"))
    )
    return _odd(
        net, combined(net, [(1, turn), (-2, right), (2, left)], suffix="folded"), _SIN, suffix
    )


@handles(torch.sinc)
def sinc(net: Emitter, input: Symbol) -> Symbol:
    """Compute sin(pi x) / (pi x), and 1 at 0, where 1 is added to both terms."""
    turns = rounded(net, input, 0.5, suffix="turns")
    rest = combined(net, [(1, input), (-2, turns)], suffix="remainder")
    sine = _sin_of_turn(net, affine(net, rest, pi, suffix="angle"), suffix="sine")
    size = net.add(AbsVal(), input, suffix="size")
    zero = opposite(net, above(net, size, 0, suffix="nonzero"), suffix="zero")
    upper = combined(net, [(1, sine), (1, zero)], suffix="upper")
    lower = combined(net, [(pi, input), (1, zero)], suffix="lower")
    return net.add(PRODUCT, upper, inverse(net, lower, suffix="inverse"))


@handles(torch.tan)
def tan(net: Emitter, input: Symbol) -> Symbol:
    """Compute tan(r) after an even number of quarter turns, -1 / tan(r) after an odd one.

    Accurate to float32 for |x| up to 1e5.
    """
    quarters = rounded(net, input, 2 / pi, suffix="quarter_turns")
    rest = without_multiples(net, input, quarters, pi / 2, suffix="remainder")
    halves = rounded(net, quarters, 0.5, suffix="halves")
    parity = combined(net, [(1, quarters), (-2, halves)], suffix="parity")
    odd = net.add(AbsVal(), parity, suffix="odd")
    even = opposite(net, odd, suffix="even")
    tangent = _odd(net, rest, _TAN, suffix="tangent")
    kept = net.add(PRODUCT, tangent, even, suffix="masked")
    turned = net.add(PRODUCT, tangent, odd, suffix="negated")
    upper = combined(net, [(1, kept), (-1, odd)], suffix="upper")
    lower = combined(net, [(1, even), (1, turned)], suffix="lower")
    return net.add(PRODUCT, upper, inverse(net, lower, suffix="inverse"))


@handles(torch.atan)
def atan(net: Emitter, input: Symbol) -> Symbol:
    """Compute atan(|x|), for |x| > 1 as pi / 2 - atan(1 / |x|), with the sign of x."""
    size = net.add(AbsVal(), input, suffix="size")
    larger = net.add(MAXIMUM, size, inverse(net, size, suffix="inverse"), suffix="maximum")
    slope = _odd(net, inverse(net, larger, suffix="slope"), _ATAN, suffix="angle")
    angle = _mirrored(net, slope, above(net, size, 1, suffix="is_above"), pi / 2, "mirrored")
    return with_sign_of(net, angle, input)


def _mirrored(
    net: Emitter, angle: Symbol, where: Symbol, sum: float, suffix: str = "", turn: float = -2
) -> Symbol:
    """Return sum - angle where a mask is 1, the angle itself elsewhere."""
    name = suffix or "mirrored"
    change = affine(net, angle, turn, sum, suffix=f"{name}_sum_difference")
    taken = net.add(PRODUCT, where, change, suffix=f"{name}_taken")
    return combined(net, [(1, angle), (1, taken)], suffix=suffix)


@handles(torch.atan2)
def atan2(net: Emitter, input: AnyOperand, other: AnyOperand) -> Symbol:
    """Compute the angle of (x, y) by octants, for finite coordinates; -0 counts as 0."""
    y, x = spread(net, input, other)
    high, wide = (net.add(AbsVal(), side, suffix="size") for side in (y, x))
    larger = clipped(
        net, net.add(MAXIMUM, high, wide, suffix="maximum"), 2.0**-126, None, "divisor"
    )
    sizes = (negated(net, side, suffix="negative") for side in (high, wide))
    smaller = negated(net, net.add(MAXIMUM, *sizes, suffix="smaller_negative"), suffix="smaller")
    slope = net.add(PRODUCT, smaller, inverse(net, larger, suffix="inverse"), suffix="slope")
    steep = above(
        net, combined(net, [(1, high), (-1, wide)], suffix="difference"), 0, suffix="is_above"
    )
    angle = _mirrored(net, _odd(net, slope, _ATAN, suffix="octant"), steep, pi / 2, "quadrant")
    angle = _mirrored(net, angle, below(net, x, 0, suffix="left"), pi, "half")
    turned = affine(net, below(net, y, 0, suffix="lower"), -2, 1, suffix="sign")
    return net.add(PRODUCT, angle, turned)


def _half_angle(net: Emitter, size: Symbol) -> Symbol:
    """Return asin(|x|) for |x| <= 1 / 2, else asin(sqrt((1 - |x|) / 2)), half of acos(|x|).

    The smaller of x^2 and (1 - |x|) / 2 changes from one to the other exactly there.
    """
    square = negated(net, net.add(Power(power=2), size, suffix="square"), suffix="low")
    high = affine(net, size, 0.5, -0.5, suffix="high")
    least = net.add(MAXIMUM, square, high, suffix="least")
    root = net.add(Power(power=0.5, scale=-1), least, suffix="root")
    signed = [factor * (-1) ** index for index, factor in enumerate(_ASIN)]
    return net.add(
        PRODUCT, root, polynomial(net, least, signed, suffix="polynomial"), suffix="half"
    )


@handles(torch.asin)
def asin(net: Emitter, input: Symbol) -> Symbol:
    size = net.add(AbsVal(), input, suffix="size")
    half = _half_angle(net, size)
    steep = above(net, size, 0.5, suffix="is_above")
    return with_sign_of(net, _mirrored(net, half, steep, pi / 2, "angle", turn=-3), input)


@handles(torch.acos)
def acos(net: Emitter, input: Symbol) -> Symbol:
    """Compute acos, near 1 as twice the half angle, so that nothing cancels there."""
    size = net.add(AbsVal(), input, suffix="size")
    half = _half_angle(net, size)
    steep = above(net, size, 0.5, suffix="is_above")
    near = net.add(PRODUCT, steep, half, suffix="near")
    rest = affine(net, half, -1, pi / 2, suffix="remainder")
    outer = net.add(PRODUCT, opposite(net, steep, suffix="flat"), rest, suffix="outer")
    angle = combined(net, [(2, near), (1, outer)], suffix="angle")
    return _mirrored(net, angle, below(net, input, 0, suffix="left"), pi)


@handles(torch.deg2rad)
def deg2rad(net: Emitter, input: Symbol) -> Symbol:
    return affine(net, input, pi / 180)


@handles(torch.rad2deg)
def rad2deg(net: Emitter, input: Symbol) -> Symbol:
    return affine(net, input, 180 / pi)
