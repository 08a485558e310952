"""Exponentials and logarithms, and the hyperbolic functions made of them.

Where a form would subtract nearly equal values near 0, tanh, which is exact to float32 there,
gives the difference: 1 - exp(-a) = 2 t / (1 + t) with t = tanh(a / 2).
"""

from __future__ import annotations

from math import log as logarithm

import torch
from torch import Tensor

from caffe2fx.layers import BNLL, AbsVal, Exp, Log, Power, ReLU
from fx2caffe.ir.binary import PRODUCT, BinaryOp
from fx2caffe.ir.constants import as_float32
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.ir.tanh import FineTanH
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.blocks import (
    AnyOperand,
    above,
    affine,
    before,
    clipped,
    combined,
    difference,
    extreme,
    inside,
    inverse,
    negated,
    opposite,
    product,
    weighted_sum,
    with_sign_of,
)


@handles(torch.exp)
def exp(net: Emitter, input: Symbol) -> Symbol:
    return net.add(Exp(), input)


@handles(torch.exp2)
def exp2(net: Emitter, input: Symbol) -> Symbol:
    return net.add(Exp(base=2), input)


@handles(torch.expm1)
def expm1(net: Emitter, input: Symbol) -> Symbol:
    """Compute sign(x) (1 - exp(-|x|)) exp(relu(x))."""
    grown = net.add(Exp(), net.add(ReLU(), input, suffix="relu"), suffix="exp")
    return net.add(PRODUCT, *_share(net, input), grown)


def _share(net: Emitter, input: Symbol) -> tuple[Symbol, Symbol]:
    """Return two factors of sign(x) (1 - exp(-|x|)) = 2 t / (1 + |t|), where t = tanh(x / 2)."""
    tangent = net.add(FineTanH(), affine(net, input, 0.5, suffix="half"), suffix="tanh")
    size = net.add(AbsVal(), tangent, suffix="tanh_size")
    return tangent, inverse(net, size, 0.5, 0.5, suffix="inverse")


@handles(torch.log)
def log(net: Emitter, input: Symbol) -> Symbol:
    return net.add(Log(), input)


@handles(torch.log2)
def log2(net: Emitter, input: Symbol) -> Symbol:
    return net.add(Log(base=2), input)


@handles(torch.log10)
def log10(net: Emitter, input: Symbol) -> Symbol:
    return net.add(Log(base=10), input)


@handles(torch.log1p)
def log1p(net: Emitter, input: Symbol) -> Symbol:
    """Compute x log(u) / (u - 1) with u = 1 + x as float32 rounds it, and x where u is 1.

    The quotient changes slowly, so that the rounding of u does not matter: W. Kahan's form, see
    Goldberg, What Every Computer Scientist Should Know About Floating-Point Arithmetic, theorem 4.
    """
    moved = affine(net, input, 1, 1, suffix="moved")
    rest = affine(net, moved, 1, -1, suffix="remainder")
    is_nonzero = above(net, net.add(AbsVal(), rest, suffix="size"), 0, suffix="nonzero")
    is_zero = opposite(net, is_nonzero, suffix="zero")
    upper = combined(net, [(1, net.add(Log(), moved, suffix="log")), (1, is_zero)], suffix="upper")
    lower = combined(net, [(1, rest), (1, is_zero)], suffix="lower")
    return net.add(PRODUCT, upper, inverse(net, lower, suffix="inverse"), input)


@handles(torch.logit)
def logit(net: Emitter, input: Symbol, eps: float | None = None) -> Symbol:
    """Compute log(x) - log(1 - x)."""
    if eps is not None and eps > 0.5:
        raise Refused(f"needs eps up to 0.5, beyond which its two limits cross, got {eps}")
    if eps is not None:
        input = clipped(net, input, eps, 1 - eps, suffix="clip")
    upper = net.add(Log(), input, suffix="log")
    return combined(
        net, [(1, upper), (-1, net.add(Log(scale=-1, shift=1), input, suffix="remainder"))]
    )


@handles(torch.xlogy)
def xlogy(net: Emitter, input: AnyOperand, other: AnyOperand) -> Symbol:
    """Compute x log(y), and 0 where x is 0 (the logarithm is taken of 1 there)."""
    if not isinstance(other, Symbol):
        return product(net, input, _log_of(as_float32(other)))
    is_nonzero = _is_nonzero(net, input)
    kept = product(net, other, is_nonzero, suffix="masked")
    is_zero = (
        opposite(net, is_nonzero, suffix="zero")
        if isinstance(is_nonzero, Symbol)
        else 1 - is_nonzero
    )
    safe = weighted_sum(net, kept, is_zero, suffix="nonzero")
    return product(net, net.add(Log(), safe, suffix="log"), input)


@handles(torch.special.xlog1py)
def xlog1py(net: Emitter, input: AnyOperand, other: AnyOperand) -> Symbol:
    """Compute x log(1 + y), and 0 where x is 0 (the logarithm is taken of 1 there)."""
    if not isinstance(other, Symbol):
        return product(net, input, _log_of(as_float32(other) + 1))
    kept = product(net, other, _is_nonzero(net, input), suffix="masked")
    return product(net, inside(net, "log", log1p, kept), input)


def _is_nonzero(net: Emitter, input: AnyOperand) -> AnyOperand:
    """Return 1 where an operand is not 0, else 0."""
    if isinstance(input, Symbol):
        return above(net, net.add(AbsVal(), input, suffix="size"), 0, suffix="nonzero")
    return (as_float32(input) != 0).float()


def _log_of(constant: Tensor) -> Tensor:
    if not bool((constant > 0).all()):
        raise Refused("needs a constant above 0 to take the logarithm of, got one that is not")
    return constant.double().log().float()


@handles(torch.special.entr)
def entr(net: Emitter, input: Symbol) -> Symbol:
    """Compute -x log(x): 0 at 0, and -inf below by the logarithm of a mask."""
    part = net.add(ReLU(), input, suffix="relu")
    product = inside(net, "product", xlogy, part, part)
    reached = above(net, input, before(0), suffix="is_reached")
    return combined(net, [(-1, product), (1, net.add(Log(), reached, suffix="penalty"))])


@handles(torch.logaddexp)
def logaddexp(net: Emitter, input: AnyOperand, other: AnyOperand) -> Symbol:
    """Compute max + log(1 + exp(-|x - y|)), for finite elements."""
    return _log_add(net, input, other, 1.0)


@handles(torch.logaddexp2)
def logaddexp2(net: Emitter, input: AnyOperand, other: AnyOperand) -> Symbol:
    """Compute max + log2(1 + 2^-|x - y|), for finite elements."""
    return _log_add(net, input, other, logarithm(2))


def _log_add(net: Emitter, input: AnyOperand, other: AnyOperand, unit: float) -> Symbol:
    largest = extreme(net, BinaryOp.MAX, input, other, suffix="largest")
    delta = difference(net, input, other, suffix="difference")
    distance = net.add(AbsVal(), delta, suffix="distance")
    more = net.add(BNLL(), affine(net, distance, -unit, suffix="scaled"), suffix="softplus_next")
    return combined(net, [(1, largest), (1 / unit, more)])


# Hyperbolic functions


@handles(torch.sinh)
def sinh(net: Emitter, input: Symbol) -> Symbol:
    """Compute sign(x) (1 - exp(-|x|)) (exp(|x|) + 1) / 2."""
    grown = net.add(Exp(), net.add(AbsVal(), input, suffix="size"), suffix="exp")
    return net.add(PRODUCT, *_share(net, input), affine(net, grown, 0.5, 0.5, suffix="grown"))


@handles(torch.cosh)
def cosh(net: Emitter, input: Symbol) -> Symbol:
    up, down = (net.add(Exp(scale=side), input, suffix="exp") for side in (1, -1))
    return combined(net, [(0.5, up), (0.5, down)])


@handles(torch.asinh)
def asinh(net: Emitter, input: Symbol) -> Symbol:
    """Compute log1p(a + a^2 / (1 + sqrt(1 + a^2))) with a = |x| up to 1e19, and the sign of x."""
    size = net.add(AbsVal(), input, suffix="size")
    square = net.add(Power(power=2), size, suffix="square")
    root = net.add(Power(power=0.5, shift=1), square, suffix="root")
    bend = net.add(PRODUCT, square, inverse(net, root, 1, 1, suffix="inverse"), suffix="curvature")
    excess = combined(net, [(1, size), (1, bend)], suffix="excess")
    return with_sign_of(net, inside(net, "log", log1p, excess), input)


@handles(torch.acosh)
def acosh(net: Emitter, input: Symbol) -> Symbol:
    """Compute log1p(t + sqrt(t^2 + 2 t)) with t = x - 1 up to 1e19."""
    rest = affine(net, input, 1, -1, suffix="remainder")
    square = net.add(Power(power=2), rest, suffix="square")
    both = combined(net, [(1, square), (2, rest)], suffix="sum")
    root = net.add(Power(power=0.5), both, suffix="root")
    return inside(net, "log", log1p, combined(net, [(1, rest), (1, root)], suffix="excess"))


@handles(torch.atanh)
def atanh(net: Emitter, input: Symbol) -> Symbol:
    """Compute (log1p(x) - log1p(-x)) / 2."""
    up = inside(net, "up", log1p, input)
    down = inside(net, "down", log1p, negated(net, input, suffix="negative"))
    return combined(net, [(0.5, up), (-0.5, down)])
