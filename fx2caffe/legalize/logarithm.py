"""Log and BNLL, for targets without a logarithm.

Powers and Exp are enough: a root of x is near 1, where a few terms of a series give its
logarithm, and one step of Newton's method on e^t = x makes good what taking the root lost.
"""

from __future__ import annotations

from caffe2fx.layers import BNLL, AbsVal, Clip, Eltwise, EltwiseOp, Exp, Log, Power, ReLU, Sigmoid
from fx2caffe.emit import Emitter, Symbol
from fx2caffe.legalize.rules import LayerCall, Tops

PROD = Eltwise(operation=EltwiseOp.PROD)
_ROOT = 512.0
# Where that root of a square root lies, from the least float32 above 0 to the largest.
_LEAST, _LARGEST = 2.0 ** (-75 / _ROOT), 2.0 ** (65 / _ROOT)
_ZERO = 2.0**-76  # times the inverse of the least square root: still below 1


def by_newton(net: Emitter, call: LayerCall[Log]) -> Tops | None:
    """ln(x) = 2 ln(s) of s = sqrt(x), and ln(s) = t + s e^-t - 1 for a t that is nearly it.

    Of 0 it is -inf, of negative numbers NaN, as it should be: with s both come to the sum.

    before: Log
    after:  Power{0.5} s, the powers and products of _nearly t, Exp of -t, Eltwise{PROD} with s,
            Eltwise{SUM}, Power, Eltwise{SUM} with what is infinite where s is 0
    """
    if call.layer != Log():
        return None
    root = net.add(Power(power=0.5), call.bottom, role="root")
    nearly = _nearly(net, root)
    inverse = net.add(Exp(), net.add(Power(scale=-1), nearly, role="negative"), role="inverse")
    ratio = net.add(PROD, root, inverse, role="ratio")
    total = net.add(Eltwise(), nearly, ratio, role="total")
    finite = net.add(Power(scale=2, shift=-2), total, role="finite")
    return (net.add(Eltwise(coeff=(1, -1)), finite, _of_zero(net, root)),)


def _nearly(net: Emitter, root: Symbol) -> Symbol:
    """t = n ln(r) of r = s^(1/n), to 4 digits: ln(r) = 2 z (1 + z^2 / 3), z = (r - 1) / (r + 1)."""
    near_one = net.add(Power(power=1 / _ROOT), root, role="near_one")
    within = net.add(Clip(min=_LEAST, max=_LARGEST), near_one, role="within")
    share = net.add(Power(power=-1, shift=1), within, role="share")
    z = net.add(Power(scale=-2, shift=1), share, role="z")
    series = net.add(Power(power=2), z, role="square")
    series = net.add(Power(scale=2 * _ROOT / 3, shift=2 * _ROOT), series, role="series")
    return net.add(PROD, z, series, role="nearly")


def _of_zero(net: Emitter, root: Symbol) -> Symbol:
    """Infinity where the root is 0, else 0."""
    inverse = net.add(Power(power=-1), root, role="upside_down")
    return net.add(ReLU(), net.add(Power(scale=_ZERO, shift=-2), inverse, role="far"), role="pole")


def by_sigmoid(net: Emitter, call: LayerCall[BNLL]) -> Tops:
    """ln(1 + e^x) = relu(x) - ln(sigmoid(|x|))."""
    bottom = call.bottom
    size = net.add(AbsVal(), bottom, role="size")
    share = net.add(Log(), net.add(Sigmoid(), size, role="sigmoid"), role="share")
    positive = net.add(ReLU(), bottom, role="positive")
    return (net.add(Eltwise(coeff=(1, -1)), positive, share),)
