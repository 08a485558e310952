"""Which values of a net follow its inputs: by the graph, and by what extreme inputs change."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, nan

import torch
from torch import Tensor

from caffe2fx.net.evaluate import Filled, StepwiseEvaluation, own_reference
from caffe2fx.net.net import Net
from caffe2fx.net.step import Value, is_input


def depends_on_inputs(net: Net) -> set[Value]:
    """The values that a path of the net joins to its inputs."""
    moving: set[Value] = set()
    for step in net.steps:
        follows = moving.intersection(step.reads) and not step.layer.is_constant
        if is_input(step) or follows:
            moving.update(step.tops)
    return moving


def unreached(net: Net, inputs: Sequence[Tensor], values: set[Value]) -> set[Value]:
    """Those of the values that no element of the inputs reaches.

    Such are the parts of a map that are constant, as a class token before it has seen an
    image. What is dead otherwise moves: by NaN (zero weights, a ReLU that is never passed)
    or by what is beyond every threshold.
    """
    for extreme in (nan, inf, -inf):
        values = _unmoved(net, inputs, values, extreme) if values else values
    return values


def _unmoved(net: Net, inputs: Sequence[Tensor], values: set[Value], extreme: float) -> set[Value]:
    """Those of the values that are the same where every element of the inputs is that one."""
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
