"""Clip and Swish, which came to Caffe in 2018, for the Caffes before."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from caffe2fx.layers import Clip, Eltwise, EltwiseOp, Power, ReLU, Sigmoid, Swish
from fx2caffe.emit import Emitter, Symbol
from fx2caffe.legalize.rules import rewrites

LARGEST = torch.finfo(torch.float32).max


@rewrites(Clip)
def clip_by_maximum(
    net: Emitter, layer: Clip, bottoms: Sequence[Symbol], blobs: Sequence[Tensor], tops: int
) -> tuple[Symbol, ...]:
    """Comparisons only, so that every number within the bounds stays exactly what it is.

    before: Clip{min: 0, max: 6}
    after:  ReLU, Power{scale: -1}, Power{scale: 0 shift: -6}, Eltwise{MAX}, Power{scale: -1}
    A bound at the end of the range of float32 is none.
    """
    top = bottoms[0]
    has_high = layer.max < LARGEST or layer.min > layer.max
    if layer.min > -LARGEST:
        top = _at_least(net, top, layer.min, "low" if has_high else "")
    if not has_high:
        return (net.add(Power(), top) if top is bottoms[0] else top,)
    negative = net.add(Power(scale=-1), top, role="negative")
    high = max(layer.min, layer.max)
    return (net.add(Power(scale=-1), _at_least(net, negative, -high, "high")),)


def _at_least(net: Emitter, bottom: Symbol, bound: float, role: str) -> Symbol:
    if bound == 0:
        return net.add(ReLU(), bottom, role=role)
    constant = net.add(Power(scale=0, shift=bound), bottom, role=f"{role}_bound".lstrip("_"))
    return net.add(Eltwise(operation=EltwiseOp.MAX), bottom, constant, role=role)


@rewrites(Swish)
def swish_by_sigmoid(
    net: Emitter, layer: Swish, bottoms: Sequence[Symbol], blobs: Sequence[Tensor], tops: int
) -> tuple[Symbol, ...]:
    """before: Swish{beta}        after: Power{scale: beta}, Sigmoid, Eltwise{PROD} with x"""
    scaled = bottoms[0]
    if layer.beta != 1:
        scaled = net.add(Power(scale=layer.beta), bottoms[0], role="scaled")
    gate = net.add(Sigmoid(), scaled, role="sigmoid")
    return (net.add(Eltwise(operation=EltwiseOp.PROD), bottoms[0], gate),)
