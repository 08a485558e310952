"""Decompositions whose error near 0 is relative to the result, for programs whose own is not.

Both blend a series of the clipped argument c, within [-b, b], with a layer that errs by a fixed
amount: the layer's share (c / b)^2 vanishes faster than the result, and is 1 from b on.
"""

from __future__ import annotations

from caffe2fx.layers import Clip, Eltwise, Power, TanH
from fx2caffe.ir.binary import PRODUCT
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Symbol
from fx2caffe.ir.tanh import FineTanH
from fx2caffe.legalize.rule import LayerCall, Tops
from fx2caffe.ops.blocks import polynomial

# tanh(c) / c as a polynomial of c^2, within 2e-8 for |c| <= 1/2.
_TANH = (1.0, -0.333330654, 0.133247005, -0.0529810653, 0.0171250357)
# log(1 + c) / z as a polynomial of z^2, z = c / (2 + c), within 2e-8 for |c| <= 1/4.
_LOG = (2.0, 2 / 3, 2 / 5, 2 / 7)


def tanh_of_caffe(net: Emitter, call: LayerCall[FineTanH]) -> Tops | None:
    """Compute tanh by a TanH that is exact near 0, as Caffe's own is.

    before: FineTanH        after: TanH, where it is Caffe's own, which is exact near 0
    """
    return (net.add(TanH(), call.bottom),) if net.in_caffe else None


def tanh_by_series(net: Emitter, call: LayerCall[FineTanH]) -> Tops:
    """Compute tanh by its series near 0, and by TanH elsewhere.

    before: FineTanH        after: TanH and the series of the clipped bottom, blended
    """
    far = net.add(TanH(), call.bottom, suffix="far")
    clipped = net.add(Clip(min=-0.5, max=0.5), call.bottom, suffix="clipped")
    square = net.add(PRODUCT, clipped, clipped, suffix="square")
    series = net.add(PRODUCT, clipped, polynomial(net, square, _TANH, "series"), suffix="near")
    return (blended(net, far, series, square, 0.5),)


def log_near_one(net: Emitter, bottom: Symbol, far: Symbol) -> Symbol:
    """Blend ln(x) with its series around 1."""
    moved = net.add(Power(shift=-1), bottom, suffix="moved")
    clipped = net.add(Clip(min=-0.25, max=0.25), moved, suffix="clipped")
    inverse = net.add(Power(power=-1, shift=2), clipped, suffix="share")
    z = net.add(PRODUCT, clipped, inverse, suffix="z")
    factors = polynomial(net, net.add(PRODUCT, z, z, suffix="square"), _LOG, "series")
    series = net.add(PRODUCT, z, factors, suffix="near")
    square = net.add(PRODUCT, clipped, clipped, suffix="distance")
    return blended(net, far, series, square, 0.25)


def blended(net: Emitter, far: Symbol, near: Symbol, square: Symbol, bound: float) -> Symbol:
    """Return w far + (1 - w) near with w = c^2 / bound^2, given c^2."""
    factor = bound**-2
    share = net.add(Power(scale=factor), square, suffix="share_far")
    rest = net.add(Power(scale=-factor, shift=1), square, suffix="share_near")
    weighed = [
        net.add(PRODUCT, far, share, suffix="part_far"),
        net.add(PRODUCT, near, rest, suffix="part_near"),
    ]
    return net.add(Eltwise(), *weighed)
