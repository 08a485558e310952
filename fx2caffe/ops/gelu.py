"""gelu, and the error function and its relatives, without subtracting nearly equal values."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from caffe2fx.layers import AbsVal, Exp, Log, Power, ReLU, Sigmoid
from fx2caffe.ir.binary import PRODUCT
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.ir.tanh import FineTanH
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.blocks import (
    above,
    affine,
    below,
    combined,
    inside,
    inverse,
    opposite,
    polynomial,
    sign,
)

# log(P / (1 - P)) / x as a polynomial of x^2, P the normal distribution function: x sigmoid(...)
# is within 1.1e-7 of gelu below 0, and to the last bit of float32 above.
_GELU = (
    1.59576866, 0.0726679943, -6.582113e-05, -0.000110621229, 7.95923242e-06, -2.68318057e-07,
    3.64637907e-09,
)  # fmt: skip
# -log(erfc(a)) / a as a polynomial of a: within 3e-7 of erf, relatively, for all a >= 0.
_ERF = (
    1.12837921, 0.636616497, 0.102814405, -0.0193216957, 0.000205679666, 0.00125177866,
    -0.000381014102, 4.07100695e-05,
)  # fmt: skip
# log(erfc(a) / t) + a^2 as a polynomial of t = 1 / (1 + a / 2), within 1.2e-7 for all a >= 0.
# Press and others, Numerical Recipes, section 6.2.2.
_ERFC = (
    -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398,
    1.48851587, -0.82215223, 0.17087277,
)  # fmt: skip


@handles(F.gelu)
def gelu(net: Emitter, input: Symbol, approximate: str = "none") -> Symbol:
    """Compute x P(x) = x sigmoid(log(P / (1 - P))); for "tanh" the logit is a polynomial."""
    if approximate == "tanh":
        double = 2 * math.sqrt(2 / math.pi)
        return _by_logit(net, input, (double, 0.044715 * double))
    if approximate != "none":
        raise Refused(f"needs approximate 'none' or 'tanh', got {approximate!r}")
    return _by_logit(net, input, _GELU)


def _by_logit(net: Emitter, input: Symbol, factors: tuple[float, ...]) -> Symbol:
    square = net.add(PRODUCT, input, input, suffix="square")
    slope = polynomial(net, square, factors, suffix="slope")
    gate = net.add(Sigmoid(), net.add(PRODUCT, input, slope, suffix="inner"), suffix="sigmoid")
    return net.add(PRODUCT, input, gate)


@handles(torch.erf)
def erf(net: Emitter, input: Symbol) -> Symbol:
    """Compute sign(x) 2 t / (1 + t), where t = tanh(g / 2) and g = -log(erfc(|x|))."""
    size = net.add(AbsVal(), input, suffix="size")
    slope = polynomial(net, size, [factor / 2 for factor in _ERF], suffix="slope")
    tangent = net.add(FineTanH(), net.add(PRODUCT, size, slope, suffix="inner"), suffix="tanh")
    grown = inverse(net, tangent, 0.5, 0.5, suffix="inverse")
    return net.add(PRODUCT, tangent, grown, sign(net, input, suffix="sign"))


@handles(torch.erfc)
def erfc(net: Emitter, input: Symbol) -> Symbol:
    """Compute erfc(|x|), and 2 - erfc(|x|) where x < 0."""
    tail = inside(net, "tail", _tail, net.add(AbsVal(), input, suffix="size"))
    left = below(net, input, 0, suffix="left")
    taken = net.add(
        PRODUCT, left, affine(net, tail, -2, 2, suffix="tail_difference"), suffix="masked"
    )
    return combined(net, [(1, tail), (1, taken)])


def _tail(net: Emitter, size: Symbol) -> Symbol:
    """Compute erfc(a) = t exp(p(t) - a^2), for a >= 0."""
    part = inverse(net, size, 0.5, 1, suffix="part")
    square = net.add(PRODUCT, size, size, suffix="square")
    power = polynomial(net, part, _ERFC, suffix="polynomial")
    inner = combined(net, [(1, power), (-1, square)], suffix="inner")
    return net.add(PRODUCT, part, net.add(Exp(), inner, suffix="exp"))


@handles(torch.special.ndtr)
def ndtr(net: Emitter, input: Symbol) -> Symbol:
    """Compute erfc(-x / sqrt(2)) / 2."""
    turned = affine(net, input, -1 / math.sqrt(2), suffix="negated")
    return affine(net, inside(net, "erfc", erfc, turned), 0.5)


# erfinv(x) / x as polynomials of w - 5 / 2 and of sqrt(w) - 3, with w = -log(1 - x^2) below 5 and
# above. M. Giles, Approximating the erfinv function (GPU Computing Gems, 2011).
_CENTRAL = (
    1.50140941, 0.246640727, -0.00417768164, -0.00125372503, 0.00021858087, -4.39150654e-06,
    -3.5233877e-06, 3.43273939e-07, 2.81022636e-08,
)  # fmt: skip
_OUTER = (
    2.83297682, 1.00167406, 0.00943887047, -0.0076224613, 0.00573950773, -0.00367342844,
    0.00134934322, 0.000100950558, -0.000200214257,
)  # fmt: skip


@handles(torch.erfinv)
def erfinv(net: Emitter, input: Symbol) -> Symbol:
    """Compute erfinv for |x| < 1, within 4e-7 relatively."""
    above_one, below_one = (
        net.add(Log(scale=side, shift=1), input, suffix="log") for side in (1, -1)
    )
    raw = combined(net, [(-1, above_one), (-1, below_one)], suffix="raw_depth")
    depth = net.add(ReLU(), raw, suffix="depth")  # rounding may leave it below 0
    outer = above(net, depth, 5, suffix="outer")
    root = net.add(Power(power=0.5), depth, suffix="root")
    near = _share(net, opposite(net, outer, suffix="central"), depth, 2.5, _CENTRAL)
    outermost = _share(net, outer, root, 3.0, _OUTER)
    return net.add(PRODUCT, input, combined(net, [(1, near), (1, outermost)], suffix="slope"))


def _share(
    net: Emitter, mask: Symbol, input: Symbol, middle: float, factors: tuple[float, ...]
) -> Symbol:
    """Return a polynomial of input - middle where the mask is 1, else 0."""
    moved = affine(net, input, 1, -middle, suffix="index")
    return net.add(PRODUCT, mask, polynomial(net, moved, factors, suffix="part"), suffix="share")
