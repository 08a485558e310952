"""Prevent merges: an identity between layers that a program would merge into a wrong one.

before: Power{power: 0.5} -> Power{scale: 2}     after: Power{power: 0.5} -> Reshape -> Power
"""

from __future__ import annotations

from dataclasses import replace

from caffe2fx.layers import Reshape
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value
from caffe2fx.net.unique_names import unique_name
from fx2caffe.passes.pass_result import PassResult
from fx2caffe.targets import Target


def prevent_wrong_merges(net: Net, target: Target) -> PassResult:
    """Insert an identity Reshape between layers that the target would merge wrongly.

    It goes between a layer and its only reader, and copies nothing.
    """
    taken = {name for step in net.steps for name in (step.name, *(t.blob for t in step.tops))}
    uses, producers, shapes = net.uses(), net.producers(), net.shapes()
    steps: list[Step] = []
    for step in net.steps:
        moved: dict[Value, Value] = {}
        for value in step.bottoms:
            if uses[value] == 1 and target.merges_wrongly(producers[value], step):
                steps.append(_identity(value, len(shapes[value]), producers[value], taken))
                moved[value] = steps[-1].tops[0]
        steps.append(step.reading(moved))
    return PassResult(replace(net, steps=tuple(steps)))


def _identity(value: Value, rank: int, producer: Step, taken: set[str]) -> Step:
    name = unique_name(f"{producer.name}/identity", taken)
    layer = Reshape(shape=(0,) * rank)
    return Step(name, layer, (value,), (Value(name),), origin=producer.origin)
