"""Decompositions of elementwise functions of one bottom."""

from __future__ import annotations

import math
from math import prod

from caffe2fx.layers import (
    BNLL,
    AbsVal,
    Clip,
    Concat,
    Eltwise,
    EltwiseOp,
    Exp,
    Log,
    Power,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    Slice,
    Softmax,
    Swish,
    Threshold,
)
from fx2caffe.ir.binary import PRODUCT
from fx2caffe.ir.constants import LARGEST
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.finite import constant_like
from fx2caffe.ir.reshape import reshaped, viewed
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.legalize.rule import LayerCall, Tops
from fx2caffe.legalize.rules.near_zero import log_near_one


def clip_by_maximum(net: Emitter, call: LayerCall[Clip]) -> Tops:
    """Clip by comparisons only, so that every element within the bounds keeps its exact value.

    before: Clip{min: 0, max: 6}
    after:  ReLU, Power{scale: -1}, Power{scale: 0 shift: -6}, Eltwise{MAX}, Power{scale: -1}
    A bound at the end of the range of float32 is none.
    """
    layer, bottom = call.layer, call.bottom
    top = bottom
    has_high = layer.max < LARGEST or layer.min > layer.max
    if layer.min > -LARGEST:
        top = _at_least(net, top, layer.min, "low" if has_high else "")
    if not has_high:
        return (net.add(Power(), top) if top is bottom else top,)
    negative = net.add(Power(scale=-1), top, suffix="negative")
    high = max(layer.min, layer.max)
    return (net.add(Power(scale=-1), _at_least(net, negative, -high, "high")),)


def _at_least(net: Emitter, bottom: Symbol, bound: float, suffix: str) -> Symbol:
    if bound == 0:
        return net.add(ReLU(), bottom, suffix=suffix)
    constant = constant_like(net, bottom, bound, suffix=f"{suffix}_bound".lstrip("_"))
    return net.add(Eltwise(operation=EltwiseOp.MAX), bottom, constant, suffix=suffix)


def swish_by_sigmoid(net: Emitter, call: LayerCall[Swish]) -> Tops:
    """Compute x * sigmoid(beta x).

    before: Swish{beta}        after: Power{scale: beta}, Sigmoid, Eltwise{PROD} with x
    """
    layer, bottom = call.layer, call.bottom
    scaled = bottom
    if layer.beta != 1:
        scaled = net.add(Power(scale=layer.beta), bottom, suffix="scaled")
    gate = net.add(Sigmoid(), scaled, suffix="sigmoid")
    return (net.add(PRODUCT, bottom, gate),)


_LARGE = 2.0**100  # applied twice, it scales the least float32, 2^-149, above 1


def by_scaling(net: Emitter, call: LayerCall[Threshold]) -> Tops:
    """Scale max(x - b, 0), clipped at 1, until no element lies strictly between 0 and 1.

    The difference of two unequal float32 is never 0, so this is exact for all x but NaN, which
    stays NaN. It runs on negated values, as Eltwise has a maximum and no minimum.

    before: Threshold{b}
    after:  Power{shift: -b}, ReLU, Power{scale: -1}, Eltwise{MAX} with -1, Power{scale: 2^100},
            Eltwise{MAX} with -1, Power{scale: 2^100}, Eltwise{MAX} with -1, Power{scale: -1}
    """
    layer, bottom = call.layer, call.bottom
    above = bottom
    if layer.threshold != 0:
        above = net.add(Power(shift=-layer.threshold), above, suffix="above")
    least = constant_like(net, bottom, -1, suffix="least")
    negative = net.add(Power(scale=-1), net.add(ReLU(), above, suffix="excess"), suffix="negative")
    cut = net.add(Eltwise(operation=EltwiseOp.MAX), negative, least, suffix="cut")
    for _ in range(2):
        outer = net.add(Power(scale=_LARGE), cut, suffix="outer")
        cut = net.add(Eltwise(operation=EltwiseOp.MAX), outer, least, suffix="cut")
    return (net.add(Power(scale=-1), cut),)


def log_by_base_change(net: Emitter, call: LayerCall[Log]) -> Tops | None:
    """Compute a logarithm of any base by the natural one.

    before: Log{base: 2 scale shift}     after: Power{scale shift}, Log, Power{scale: 1/ln 2}
    """
    layer, bottom = call.layer, call.bottom
    if layer == Log():
        return None
    if (layer.scale, layer.shift) != (1, 0):
        bottom = net.add(Power(scale=layer.scale, shift=layer.shift), bottom, suffix="inner")
    if layer.base == -1:
        return (net.add(Log(), bottom),)
    return (net.add(Power(scale=1 / math.log(layer.base)), net.add(Log(), bottom, suffix="log")),)


def abs_by_two_relus(net: Emitter, call: LayerCall[AbsVal]) -> Tops:
    """Decompose |x| as relu(x) + relu(-x), of which one is 0."""
    bottom = call.bottom
    negative = net.add(ReLU(), net.add(Power(scale=-1), bottom, suffix="negative"), suffix="low")
    return (net.add(Eltwise(), net.add(ReLU(), bottom, suffix="high"), negative),)


def slope_by_channel(net: Emitter, call: LayerCall[PReLU]) -> Tops | None:
    """Repeat the shared slope of a PReLU for each channel.

    before: PReLU{channel_shared: true}     after: PReLU with the slope once for each channel
    """
    if not call.layer.channel_shared:
        return None
    slopes = call.blobs[0].reshape(1).expand(call.bottom.static_size(1))
    return (net.add(call.layer.replace(channel_shared=False), call.bottom, blobs=[slopes]),)


def by_softmax(net: Emitter, call: LayerCall[Exp]) -> Tops:
    """Compute e^x as softmax(x, 0)[0] / softmax(x, 0)[1], which is exact to the last digits.

    before: Exp
    after:  Reshape (1,1,n,1), Power{scale: 0}, Concat, Softmax, Slice, Power{-1}, Eltwise{PROD}
    """
    layer, bottoms = call.layer, call.bottoms
    bottom, natural = bottoms[0], 1.0 if layer.base == -1 else math.log(layer.base)
    scale, shift = layer.scale * natural, layer.shift * natural
    if (scale, shift) != (1, 0):
        bottom = net.add(Power(scale=scale, shift=shift), bottom, suffix="exponent")
    flat = viewed(net, bottom, lambda s: (prod(s[:1]), 1, prod(s[1:]), 1), suffix="flat")
    zero = constant_like(net, flat, 0, suffix="zero")
    pair = net.add(Concat(axis=1), flat, zero, suffix="pair")
    share = net.add(Softmax(axis=1), pair, suffix="softmax")
    cut = Slice(axis=1, slice_point=(1,))
    mine, other = net.add_many(cut, share, suffix="shares", tops=2)
    inverse = net.add(Power(power=-1), other, suffix="inverse")
    made = net.add(PRODUCT, mine, inverse, suffix="exp")
    return (reshaped(net, made, bottom.shape, bottom.other_shape),)


def relu6(net: Emitter, call: LayerCall[Clip]) -> Tops:
    """Clip at 0 and 6 by the layer that does only that.

    before: Clip{min: 0 max: 6}     after: ReLU6
    """
    layer = call.layer
    if (layer.min, layer.max) != (0, 6):
        raise Refused(f"as ReLU6 needs bounds 0 and 6, got {layer.min} and {layer.max}")
    return (net.add(ReLU6(), call.bottom),)


_ROOT = 512.0
# The range of this root of a square root, from the least positive float32 to the largest.
_LEAST, _LARGEST = 2.0 ** (-75 / _ROOT), 2.0 ** (65 / _ROOT)
_ZERO = 2.0**-76  # times the reciprocal of the least square root this is still below 1


def by_newton(net: Emitter, call: LayerCall[Log]) -> Tops | None:
    """Compute ln(x) = 2 ln(s) with s = sqrt(x), and ln(s) = t + s e^-t - 1 for t close to ln(s).

    At 0 the result is -inf, below it NaN, as for Log: both enter the sum with s. Around x = 1,
    where that errs by a digit of 1, a series replaces it.

    before: Log
    after:  Power{0.5} s, the powers and products of _nearly t, Exp of -t, Eltwise{PROD} with s,
            Eltwise{SUM}, Power, Eltwise{SUM} with a term that is infinite where s is 0
    """
    if call.layer != Log():
        return None
    root = net.add(Power(power=0.5), call.bottom, suffix="root")
    nearly = _nearly(net, root)
    inverse = net.add(Exp(), net.add(Power(scale=-1), nearly, suffix="negative"), suffix="inverse")
    ratio = net.add(PRODUCT, root, inverse, suffix="ratio")
    total = net.add(Eltwise(), nearly, ratio, suffix="total")
    finite = net.add(Power(scale=2, shift=-2), total, suffix="finite")
    far = net.add(Eltwise(coeff=(1, -1)), finite, _of_zero(net, root), suffix="far")
    return (log_near_one(net, call.bottom, far),)


def _nearly(net: Emitter, root: Symbol) -> Symbol:
    """Return n ln(s^(1/n)) to 4 digits: ln(r) = 2 z (1 + z^2 / 3), z = (r - 1) / (r + 1)."""
    near_one = net.add(Power(power=1 / _ROOT), root, suffix="near_one")
    within = net.add(Clip(min=_LEAST, max=_LARGEST), near_one, suffix="clipped")
    share = net.add(Power(power=-1, shift=1), within, suffix="share")
    z = net.add(Power(scale=-2, shift=1), share, suffix="z")
    series = net.add(Power(power=2), z, suffix="square")
    series = net.add(Power(scale=2 * _ROOT / 3, shift=2 * _ROOT), series, suffix="series")
    return net.add(PRODUCT, z, series, suffix="series")


def _of_zero(net: Emitter, root: Symbol) -> Symbol:
    """Return infinity where the root is 0, else 0."""
    inverse = net.add(Power(power=-1), root, suffix="reciprocal")
    return net.add(
        ReLU(), net.add(Power(scale=_ZERO, shift=-2), inverse, suffix="outer"), suffix="pole"
    )


def by_sigmoid(net: Emitter, call: LayerCall[BNLL]) -> Tops:
    """Compute ln(1 + e^x) as relu(x) - ln(sigmoid(|x|))."""
    bottom = call.bottom
    size = net.add(AbsVal(), bottom, suffix="size")
    share = net.add(Log(), net.add(Sigmoid(), size, suffix="sigmoid"), suffix="share")
    positive = net.add(ReLU(), bottom, suffix="positive")
    return (net.add(Eltwise(coeff=(1, -1)), positive, share),)
