"""Recognize SiLU, which in Caffe 1.0 is a product with a Sigmoid."""

from __future__ import annotations

from caffe2fx.layers import EltwiseOp, Sigmoid, Swish
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step
from caffe2fx.optimize.parts import combines, either_way
from caffe2fx.optimize.rewriting import Match, rewritten
from caffe2fx.optimize.view import View


def recognize_swish(net: Net) -> Net:
    """Write x * sigmoid(x) as one Swish, which torch calls SiLU.

    before: gate = Sigmoid(x), Eltwise PROD of x and gate     after: Swish
    """
    return rewritten(net, _match)


def _match(view: View, step: Step) -> Match | None:
    if not combines(step, EltwiseOp.PROD):
        return None
    for value, other in either_way(step):
        gate = view.step_of(other, Sigmoid)
        if gate is not None and gate.bottoms[0] == value:
            return Match((gate,), Swish(), (value,))
    return None
