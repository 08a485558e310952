"""The check of an example with NaN or infinities: layers that lose them are refused."""

from __future__ import annotations

import torch
from torch import Tensor

from caffe2fx.net.evaluate import StepwiseEvaluation, own_reference
from fx2caffe.errors import Refusal, UnsupportedError
from fx2caffe.exporter.result import Export

LOSES = "needs finite inputs: its layers lose NaN or infinity, of which the example holds some"


def refuse_lost(exported: Export) -> None:
    """Compare a net with its model on an example that is not finite; return at once on others.

    Raises UnsupportedError for the first function whose layers give something else there.
    """
    inputs = [value.float() for value in exported.example_inputs]
    if exported.unverified or exported.preprocessing or all(map(_is_finite, inputs)):
        return
    wanted = exported.reference(inputs)
    stream = StepwiseEvaluation(exported.net, own_reference(exported.net), inputs)
    for step in exported.net.steps:
        stream.enter(step)
        for top in step.tops:
            if top in wanted and not _alike(stream.values[top], wanted[top]):
                raise UnsupportedError([Refusal(exported.nodes[top], LOSES, step.origin)])
        stream.leave(step)


def _is_finite(value: Tensor) -> bool:
    return bool(value.isfinite().all())


def _alike(found: Tensor, wanted: Tensor) -> bool:
    wanted = wanted.to(found.dtype).reshape(found.shape)
    return torch.allclose(found, wanted, rtol=1e-3, atol=1e-4, equal_nan=True)
