"""Decompositions of Eltwise."""

from __future__ import annotations

from caffe2fx.layers import Eltwise, Power
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Symbol
from fx2caffe.legalize.rule import LayerCall, Tops


def coefficients_by_power(net: Emitter, call: LayerCall[Eltwise]) -> Tops | None:
    """Multiply by the coefficients beforehand; in a sum of two a -1 remains, and is the second.

    before: Eltwise{SUM coeff: 1, 2, 3}     after: Power{scale: 2}, Power{scale: 3}, Eltwise
    before: Eltwise{SUM coeff: -1, 2}       after: Power{scale: 2}, Eltwise{SUM coeff: 1, -1}
    """
    layer, terms = call.layer, list(zip(call.bottoms, call.layer.coeff, strict=False))
    if not terms:
        return None
    signs: tuple[float, ...] = ()
    if len(terms) == 2 and -1 in layer.coeff:
        (kept, factor), (subtracted, _) = sorted(terms, key=lambda term: term[1] == -1)
        terms, signs = [(kept, factor), (subtracted, 1.0)], (1.0, -1.0)
    bottoms = [_weighed(net, *term) for term in terms]
    return (net.add(layer.replace(coeff=signs), *bottoms),)


def _weighed(net: Emitter, bottom: Symbol, factor: float) -> Symbol:
    return bottom if factor == 1 else net.add(Power(scale=factor), bottom, suffix="weighed")
