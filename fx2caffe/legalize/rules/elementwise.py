"""Decompositions of Eltwise."""

from __future__ import annotations

from caffe2fx.layers import Eltwise, Power
from fx2caffe.ir.emitter import Emitter
from fx2caffe.legalize.rule import LayerCall, Tops


def coefficients_by_power(net: Emitter, call: LayerCall[Eltwise]) -> Tops | None:
    """before: Eltwise{SUM coeff: 1, 2, 3}     after: Power{scale: 2}, Power{scale: 3}, Eltwise"""
    layer, bottoms = call.layer, call.bottoms
    if not layer.coeff:
        return None
    terms = [
        bottom if factor == 1 else net.add(Power(scale=factor), bottom, suffix="weighed")
        for bottom, factor in zip(bottoms, layer.coeff, strict=True)
    ]
    return (net.add(layer.replace(coeff=()), *terms),)
