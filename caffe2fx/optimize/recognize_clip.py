"""Recognize a clamp, which Caffe 1.0 decomposes into a maximum and a maximum of negatives."""

from __future__ import annotations

from typing import NamedTuple

from caffe2fx.layers import Clip, EltwiseOp, ReLU
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value
from caffe2fx.optimize.parts import constant, either_way, negated, pair
from caffe2fx.optimize.rewriting import Match, rewritten
from caffe2fx.optimize.view import View


def recognize_clip(net: Net) -> Net:
    """Write max(min(max(x, low), high)) as one Clip, which torch calls hardtanh and ReLU6.

    before: low = ReLU(x), -max(-low, constant -6)     after: Clip{min: 0 max: 6}
    """
    return rewritten(net, _match)


class _Bound(NamedTuple):
    """Holds the steps of max(x, limit), the value x, and the limit."""

    steps: tuple[Step, ...]
    value: Value
    limit: float


def _match(view: View, step: Step) -> Match | None:
    if negated(view, step.tops[0]) is None:
        return None
    above = _maximum(view, step.bottoms[0])
    negative = None if above is None else negated(view, above.value)
    if above is None or negative is None:
        return None
    below = _lower_bound(view, negative.bottoms[0])
    if below is None or not below.limit < -above.limit:
        return None
    layer = Clip(min=below.limit, max=-above.limit)
    return Match((*below.steps, negative, *above.steps), layer, (below.value,))


def _lower_bound(view: View, value: Value) -> _Bound | None:
    step = view.step_of(value, ReLU)
    if step is None:
        return _maximum(view, value)
    assert isinstance(step.layer, ReLU)
    return _Bound((step,), step.bottoms[0], 0.0) if step.layer.negative_slope == 0 else None


def _maximum(view: View, value: Value) -> _Bound | None:
    step = pair(view, value, EltwiseOp.MAX)
    if step is None:
        return None
    for other, limit in either_way(step):
        found = constant(view, limit)
        if found is not None:
            return _Bound((found[0], step), other, found[1])
    return None
