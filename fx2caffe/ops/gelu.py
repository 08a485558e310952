"""gelu and the error function behind it, without the cancellation of 1 + erf."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from caffe2fx.layers import AbsVal, Eltwise, Exp, Power, ReLU, Sigmoid, Threshold
from fx2caffe.emit import Emitter, Refused, Symbol
from fx2caffe.lower import handles
from fx2caffe.ops.activation import PRODUCT

# erfc(z) = t (a1 + t (a2 + t (a3 + t (a4 + t a5)))) exp(-z^2) with t = 1 / (1 + p z), z >= 0;
# the error is at most 1.5e-7. Abramowitz and Stegun, formula 7.1.26.
_P = 0.3275911
_A = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)


@handles(F.gelu)
def gelu(net: Emitter, input: Symbol, approximate: str = "none") -> Symbol:
    if approximate == "tanh":
        return _by_sigmoid(net, input)
    if approximate != "none":
        raise Refused(f"needs approximate 'none' or 'tanh', got {approximate!r}")
    return _by_erfc(net, input)


def _by_erfc(net: Emitter, input: Symbol) -> Symbol:
    """relu(x) - |x| erfc(|x| / sqrt(2)) / 2: both sides of 0 without a difference of equals."""
    size = net.add(AbsVal(), input, role="abs")
    tail = net.add(PRODUCT, *_erfc(net, size, 1 / math.sqrt(2)), size, role="tail")
    return net.add(Eltwise(coeff=(1, -0.5)), net.add(ReLU(), input, role="relu"), tail)


def _erfc(net: Emitter, size: Symbol, scale: float) -> tuple[Symbol, Symbol]:
    """Two factors of erfc(scale * size), for size >= 0."""
    t = net.add(Power(power=-1, scale=_P * scale, shift=1), size, role="t")
    square = net.add(Power(power=2), size, role="square")
    bell = net.add(Exp(scale=-(scale**2)), square, role="exp")
    return _polynomial(net, t, _A), bell


def _polynomial(net: Emitter, t: Symbol, factors: Sequence[float]) -> Symbol:
    """t (a1 + t (a2 + ...)) by Horner's rule."""
    *others, before, last = factors
    top = net.add(Power(scale=last, shift=before), t, role="horner")
    for factor in reversed(others):
        top = net.add(Power(shift=factor), net.add(PRODUCT, top, t, role="horner"), role="horner")
    return net.add(PRODUCT, top, t, role="polynomial")


def _by_sigmoid(net: Emitter, input: Symbol) -> Symbol:
    """x (1 + tanh(u)) / 2 = x sigmoid(2 u), with u = sqrt(2 / pi) (x + 0.044715 x^3)."""
    double = 2 * math.sqrt(2 / math.pi)
    square = net.add(Power(power=2), input, role="square")
    slope = net.add(Power(scale=0.044715 * double, shift=double), square, role="slope")
    gate = net.add(Sigmoid(), net.add(PRODUCT, input, slope, role="inner"), role="sigmoid")
    return net.add(PRODUCT, input, gate)


@handles(torch.erf)
def erf(net: Emitter, input: Symbol) -> Symbol:
    """sign(x) (1 - erfc(|x|))."""
    size = net.add(AbsVal(), input, role="abs")
    tail = net.add(PRODUCT, *_erfc(net, size, 1.0), role="erfc")
    above = net.add(Threshold(), input, role="above")
    below = net.add(Threshold(), net.add(Power(scale=-1), input, role="negative"), role="below")
    sign = net.add(Eltwise(coeff=(1, -1)), above, below, role="sign")
    return net.add(PRODUCT, sign, net.add(Power(scale=-1, shift=1), tail, role="size"))
