"""The check of an example with NaN or infinities: layers that lose them are refused."""

from __future__ import annotations

from torch import Tensor

from caffe2fx.net.evaluate import StepwiseEvaluation, own_reference
from caffe2fx.verdict.reference.lost_nan import LostNan, alike
from fx2caffe.errors import Refusal, UnsupportedError
from fx2caffe.exporter.result import Export

LOSES = "needs finite inputs: its layers lose NaN or infinity, of which the example holds some"


def refuse_lost(exported: Export) -> None:
    """Compare a net with its model on an example that is not finite; return at once on others.

    Raises UnsupportedError for the first function whose layers give something else there, or may
    do so in a Caffe that loses NaN.
    """
    inputs = [value.float() for value in exported.example_inputs]
    if exported.unverified or exported.preprocessing or all(map(_is_finite, inputs)):
        return
    wanted, lost = exported.reference(inputs), LostNan(exported.nodes)
    stream = StepwiseEvaluation(exported.net, own_reference(exported.net), inputs)
    for step in exported.net.steps:
        stream.enter(step)
        lost.enter(step, stream.values)
        for top in wanted.keys() & set(step.tops):
            own = "" if alike(stream.values[top], wanted[top]) else LOSES
            if reason := lost.faults.get(top, own):
                raise UnsupportedError([Refusal(exported.nodes[top], reason, step.origin)])
        stream.leave(step)


def _is_finite(value: Tensor) -> bool:
    return bool(value.isfinite().all())
