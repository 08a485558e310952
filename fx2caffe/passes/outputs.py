"""Expose the net's outputs as Caffe's: tops that no layer reads.

before: output "a" is also read by a layer, or is an output twice; top "b" is not read
        and is no output
after:  each output "a" is copied by an identity Power layer; "b" ends in a Silence layer

Programs that return results by layer name find an output where it is its layer's only top, return
the last layer's where no name is given, and treat Silence as a result: for them the first output
comes last, and there is no Silence. MNN runs equal layers of the same bottoms once, under the name
of one of them: for such programs each output's layer differs from the others, or reads its bottom
through an identity Reshape.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from caffe2fx.layers import Power, Reshape, Silence
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value, is_input
from caffe2fx.net.unique_names import unique_name
from fx2caffe.passes.pass_result import PassResult


def expose_outputs(net: Net, *, by_layer: bool = False) -> PassResult:
    """Give each output a top that no layer reads; an output that others read is copied.

    `by_layer` is for a program that returns results by layer name.
    """
    taken = {name for step in net.steps for name in (step.name, *(t.blob for t in step.tops))}
    hidden = _hidden(net, by_layer)
    copies: list[Step] = []
    outputs: list[Value] = []
    for value in net.outputs:
        if value in hidden:
            copies.append(_copy(value, taken))
            value = copies[-1].tops[0]
        outputs.append(value)
    exposed = replace(net, steps=(*net.steps, *copies), outputs=tuple(outputs))
    moved: dict[Value, tuple[Value, ...]] = {}
    for copy in copies:
        source = copy.bottoms[0]
        moved[source] = (*moved.get(source, (source,)), copy.tops[0])
    if by_layer:
        return PassResult(_first_at_the_end(_with_distinct_layers(exposed, taken)), moved)
    return PassResult(_silenced(exposed, taken), moved)


def _hidden(net: Net, by_layer: bool) -> set[Value]:
    """Return the values that cannot be outputs: read, an input, repeated, one of several tops."""
    read = {value for step in net.steps for value in step.reads}
    # The copy of a repeated output reads it, so that Caffe would not return the first.
    twice = {value for value, count in Counter(net.outputs).items() if count > 1}
    shared = {
        top
        for step in net.steps
        for top in step.tops
        if is_input(step) or (by_layer and len(step.tops) > 1)
    }
    return read | twice | shared


def _with_distinct_layers(net: Net, taken: set[str]) -> Net:
    """Let an output's layer that equals another one read its bottom by a Reshape of its own."""
    shapes, outputs = net.shapes(), set(net.outputs)
    last = {_key(step): step.bottoms for step in net.steps if outputs.isdisjoint(step.tops)}
    steps: list[Step] = []
    for step in net.steps:
        key, is_output = _key(step), not outputs.isdisjoint(step.tops)
        if is_output and key in last and step.bottoms and not step.blobs:
            source = last[key][0]
            steps.append(_identity(step, source, len(shapes[step.bottoms[0]]), taken))
            step = step.reading({step.bottoms[0]: steps[-1].tops[0]})
        if is_output:
            last[key] = step.bottoms
        steps.append(step)
    return replace(net, steps=tuple(steps))


def _key(step: Step) -> tuple[object, ...]:
    return step.layer, step.bottoms


def _identity(step: Step, value: Value, rank: int, taken: set[str]) -> Step:
    name = unique_name(f"{step.name}/identity", taken)
    return Step(name, Reshape(shape=(0,) * rank), (value,), (Value(name),), origin=step.origin)


def _first_at_the_end(net: Net) -> Net:
    """Move the layer of the first output behind all others; no layer reads it."""
    first = [step for step in net.steps if net.outputs[0] in step.tops]
    others = [step for step in net.steps if net.outputs[0] not in step.tops]
    return replace(net, steps=(*others, *first))


def _copy(value: Value, taken: set[str]) -> Step:
    name = unique_name(f"{value.blob}/output", taken)
    return Step(name, Power(), (value,), (Value(name),))


def _silenced(net: Net, taken: set[str]) -> Net:
    read = {value for step in net.steps for value in step.reads} | set(net.outputs)
    idle: Sequence[Value] = [top for step in net.steps for top in step.tops if top not in read]
    if not idle:
        return net
    return replace(
        net, steps=(*net.steps, Step(unique_name("silence", taken), Silence(), tuple(idle)))
    )
