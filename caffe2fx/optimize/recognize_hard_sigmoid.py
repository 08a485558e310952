"""Recognize hard-sigmoid and hard-swish, which are decomposed with a Clip."""

from __future__ import annotations

from caffe2fx.layers import Clip, EltwiseOp, HardSwish
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value
from caffe2fx.optimize.parts import affine, combines, either_way, is_near, pair
from caffe2fx.optimize.records import TorchHardsigmoid
from caffe2fx.optimize.rewriting import Match, rewritten
from caffe2fx.optimize.view import View

Inner = tuple[tuple[Step, ...], Value]  # the steps of a function, and the value that it is of


def recognize_hard_sigmoid(net: Net) -> Net:
    """Write a Clip of x / 6 + 1 / 2 to [0, 1] as one layer.

    before: Power{scale: 1/6 shift: 0.5}, Clip{min: 0 max: 1}     after: hardsigmoid
    """
    return rewritten(net, _hard_sigmoid)


def recognize_hard_swish(net: Net) -> Net:
    """Write x times a Clip of x + 3 to [0, 6], divided by 6, as one HardSwish.

    before: Power{shift: 3}, Clip{min: 0 max: 6}, Eltwise PROD with x, Power{scale: 1/6}
    after:  HardSwish
    """
    return rewritten(net, _hard_swish)


def _hard_sigmoid(view: View, step: Step) -> Match | None:
    found = _clipped(view, step.tops[0], (1 / 6, 0.5), 1.0)
    if found is None:
        return None
    (*inner, _), value = found
    return Match(tuple(inner), TorchHardsigmoid(), (value,))


def _hard_swish(view: View, step: Step) -> Match | None:
    if combines(step, EltwiseOp.PROD):
        return _times_itself(view, step, (1 / 6, 0.5), 1.0)
    scaled = affine(view, step.tops[0])
    if scaled is None or not is_near(scaled[1], 1 / 6) or scaled[2] != 0:
        return None
    product = pair(view, step.bottoms[0], EltwiseOp.PROD)
    found = None if product is None else _times_itself(view, product, (1.0, 3.0), 6.0)
    if product is None or found is None:
        return None
    return Match((*found.inner, product), found.layer, found.bottoms)


def _times_itself(
    view: View, product: Step, line: tuple[float, float], high: float
) -> Match | None:
    """Match x times a Clip of a line of x, whose steps are the inner ones."""
    for value, other in either_way(product):
        found = _clipped(view, other, line, high)
        if found is not None and found[1] == value:
            return Match(found[0], HardSwish(), (value,))
    return None


def _clipped(view: View, value: Value, line: tuple[float, float], high: float) -> Inner | None:
    """Return the two steps of a Clip of scale * x + shift to [0, high], and x."""
    clip = view.step_of(value, Clip)
    if clip is None or clip.layer != Clip(min=0.0, max=high):
        return None
    found = affine(view, clip.bottoms[0])
    if found is None or not is_near(found[1], line[0]) or not is_near(found[2], line[1]):
        return None
    return (found[0], clip), found[0].bottoms[0]
