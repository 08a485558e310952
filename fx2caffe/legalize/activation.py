"""Clip and Swish, which came to Caffe in 2018, for the Caffes before."""

from __future__ import annotations

import torch

from caffe2fx.layers import Clip, Eltwise, EltwiseOp, Power, ReLU, Sigmoid, Swish
from fx2caffe.emit import Emitter, Symbol
from fx2caffe.legalize.rules import LayerCall, Tops

LARGEST = torch.finfo(torch.float32).max


def clip_by_maximum(net: Emitter, call: LayerCall[Clip]) -> Tops:
    """Comparisons only, so that every number within the bounds stays exactly what it is.

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
    negative = net.add(Power(scale=-1), top, role="negative")
    high = max(layer.min, layer.max)
    return (net.add(Power(scale=-1), _at_least(net, negative, -high, "high")),)


def _at_least(net: Emitter, bottom: Symbol, bound: float, role: str) -> Symbol:
    if bound == 0:
        return net.add(ReLU(), bottom, role=role)
    constant = net.add(Power(scale=0, shift=bound), bottom, role=f"{role}_bound".lstrip("_"))
    return net.add(Eltwise(operation=EltwiseOp.MAX), bottom, constant, role=role)


def swish_by_sigmoid(net: Emitter, call: LayerCall[Swish]) -> Tops:
    """before: Swish{beta}        after: Power{scale: beta}, Sigmoid, Eltwise{PROD} with x"""
    layer, bottom = call.layer, call.bottom
    scaled = bottom
    if layer.beta != 1:
        scaled = net.add(Power(scale=layer.beta), bottom, role="scaled")
    gate = net.add(Sigmoid(), scaled, role="sigmoid")
    return (net.add(Eltwise(operation=EltwiseOp.PROD), bottom, gate),)
