"""Threshold, for targets that compare nothing."""

from __future__ import annotations

from caffe2fx.layers import Eltwise, EltwiseOp, Power, ReLU, Threshold
from fx2caffe.emit import Emitter
from fx2caffe.legalize.rules import LayerCall, Tops

_FAR = 2.0**100  # two of it bring the least float32, 2^-149, over 1


def by_scaling(net: Emitter, call: LayerCall[Threshold]) -> Tops:
    """How far x is above the bound, cut at 1 and scaled until nothing lies between 0 and 1.

    The difference of two unequal float32 is never 0, so this is exact for all x but NaN, which
    stays NaN. It runs on negative numbers, as Eltwise has a maximum and no minimum.

    before: Threshold{b}
    after:  Power{shift: -b}, ReLU, Power{scale: -1}, Eltwise{MAX} with -1, Power{scale: 2^100},
            Eltwise{MAX} with -1, Power{scale: 2^100}, Eltwise{MAX} with -1, Power{scale: -1}
    """
    layer, bottom = call.layer, call.bottom
    above = bottom
    if layer.threshold != 0:
        above = net.add(Power(shift=-layer.threshold), above, role="above")
    least = net.add(Power(scale=0, shift=-1), bottom, role="least")
    negative = net.add(Power(scale=-1), net.add(ReLU(), above, role="over"), role="negative")
    cut = net.add(Eltwise(operation=EltwiseOp.MAX), negative, least, role="cut")
    for _ in range(2):
        far = net.add(Power(scale=_FAR), cut, role="far")
        cut = net.add(Eltwise(operation=EltwiseOp.MAX), far, least, role="cut")
    return (net.add(Power(scale=-1), cut),)
