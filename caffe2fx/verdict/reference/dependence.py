"""The values of a net that depend on its inputs, by its graph and by runs on extreme inputs."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, nan

import torch
from torch import Tensor

from caffe2fx.net.evaluate import Filled, StepwiseEvaluation, own_reference
from caffe2fx.net.net import Net
from caffe2fx.net.step import Value, is_input


def depends_on_inputs(net: Net) -> set[Value]:
    """Return the values to which a path of the net leads from its inputs."""
    moving: set[Value] = set()
    for step in net.steps:
        follows = moving.intersection(step.reads) and not step.layer.is_constant
        if is_input(step) or follows:
            moving.update(step.tops)
    return moving


def unreached(net: Net, inputs: Sequence[Tensor], values: set[Value]) -> set[Value]:
    """Return those of `values` that no element of the inputs reaches.

    These are the constant parts of a map, as a class token before it has seen an image. Values that
    are dead for other reasons change: by NaN (zero weights, a ReLU that is never passed) or by
    inputs beyond every threshold.
    """
    for extreme in (nan, inf, -inf):
        values = _unmoved(net, inputs, values, extreme) if values else values
    return values


def _unmoved(net: Net, inputs: Sequence[Tensor], values: set[Value], extreme: float) -> set[Value]:
    """Return those of `values` that stay the same where every input element is `extreme`."""
    found: set[Value] = set()
    usual = StepwiseEvaluation(net, own_reference(net), inputs)
    void = Filled(net, inputs, extreme)
    for step in net.steps:
        for stream in (usual, void):
            stream.enter(step)
        tops = values.intersection(step.tops)
        found |= {v for v in tops if torch.equal(usual.values[v], void.values[v])}
        for stream in (usual, void):
            stream.leave(step)
    return found
