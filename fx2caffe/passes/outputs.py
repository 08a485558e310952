"""Make the net's outputs what Caffe takes for outputs: the tops that nobody reads.

before: output "a" is also read by a layer, or is an output twice; top "b" is read by nobody
        and is no output
after:  each output "a" is copied by a Power layer that does nothing; "b" ends in a Silence layer

Programs that give results by layer find an output where it is the only top of its layer, give
the last layer's where none is named, and take a Silence for a result: there the first output
stands last, and there is no Silence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from caffe2fx.layers import Power, Silence
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value, is_input
from caffe2fx.net.unique_names import unique_name
from fx2caffe.passes.pass_result import PassResult


def expose_outputs(net: Net, *, by_layer: bool = False) -> PassResult:
    """Give each output a top of its own; an output that others read becomes a copy as well.

    `by_layer`: for a program that knows results by the layers that make them.
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
    made = _first_at_the_end(exposed) if by_layer else _silenced(exposed, taken)
    return PassResult(made, moved)


def _hidden(net: Net, by_layer: bool) -> set[Value]:
    """The values that cannot be an output themselves: read, given, wanted twice, one of many."""
    read = {value for step in net.steps for value in step.reads}
    # The copy of one that is an output twice reads it, so that Caffe would not give the first.
    twice = {value for value, count in Counter(net.outputs).items() if count > 1}
    shared = {
        top
        for step in net.steps
        for top in step.tops
        if is_input(step) or (by_layer and len(step.tops) > 1)
    }
    return read | twice | shared


def _first_at_the_end(net: Net) -> Net:
    """The layer of the first output behind all others, of which none reads it."""
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
