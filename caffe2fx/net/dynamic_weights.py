"""Dynamic weights in files; before: one step that reads its weight; after: four layers.

The Parameter's top is the memory of its weight and of all that share it by name, so that the values
that the Eltwise writes over it in place are the weight of the layer that follows:

    layer { name: "w" type: "Parameter" top: "w" param { name: "w" } ... }
    layer { name: "w/copy" type: "Eltwise" bottom: "w" bottom: "x" top: "w"
            eltwise_param { coeff: 0 coeff: 1 } }
    layer { name: "w/silence" type: "Silence" bottom: "w" }
    layer { name: "product" type: "Convolution" param { name: "w" } ... }
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from caffe2fx.errors import CaffeFormatError
from caffe2fx.layers import Eltwise, Parameter, Silence
from caffe2fx.messages.common import ParamSpec
from caffe2fx.messages.message import Shape
from caffe2fx.net.net import Net
from caffe2fx.net.step import Dynamic, Step, Value

COPY = Eltwise(coeff=(0.0, 1.0))  # a coefficient of 0 skips its term, whatever it holds


def written_out(net: Net) -> Net:
    """Return the net with every dynamic weight written as the layers that a file has for it."""
    if not any(step.dynamic for step in net.steps):
        return net
    shapes, done = net.shapes(), set[str]()
    return replace(
        net, steps=tuple(made for step in net.steps for made in _layers(step, shapes, done))
    )


def _layers(step: Step, shapes: Mapping[Value, Shape], done: set[str]) -> Iterator[Step]:
    for weight in step.dynamic:
        if weight.parameter not in done:
            done.add(weight.parameter)
            yield from helpers(weight, shapes[weight.value])
    names = tuple(ParamSpec(name=weight.parameter) for weight in step.dynamic)
    yield replace(step, params=names, dynamic=()) if names else step


def helpers(weight: Dynamic, shape: Shape) -> tuple[Step, Step, Step]:
    """Return the three layers that compute a weight before it is used."""
    before, after = Value(weight.parameter), Value(weight.parameter, 1)
    shared = (ParamSpec(name=weight.parameter),)
    return (
        Step(weight.parameter, Parameter(shape=shape), (), (before,), params=shared),
        Step(weight.copy, COPY, (before, weight.value), (after,)),
        Step(weight.silence, Silence(), (after,)),
    )


def read_back(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Return the steps of a file with its computed weights as `dynamic` ones.

    Raises CaffeFormatError for a weight that is overwritten in another way than this module writes:
    in Caffe it would keep the values of the run before.
    """
    found = _computed(steps)
    if not found:
        return tuple(steps)
    helping = {id(step) for weight in found.values() for step in weight.steps}
    return tuple(_reading(step, found) for step in steps if id(step) not in helping)


class _Computed:
    """Represents a Parameter whose memory a later layer overwrites."""

    def __init__(self, steps: Sequence[Step], parameter: Step) -> None:
        before = parameter.tops[0]
        after = before._replace(version=before.version + 1)
        writers = [step for step in steps if after in step.tops]
        readers = [step for step in steps if before in step.bottoms or after in step.bottoms]
        self.parameter = parameter
        self.steps = (parameter, *readers)
        whole = len(readers) == 2 and len(writers) == 1 and writers[0] is readers[0]
        self.is_ours = whole and _is_copy(readers[0], before) and _is_silence(readers[1])

    def dynamic(self) -> Dynamic:
        """Return the value that becomes the weight, and the names of its helper layers."""
        if not self.is_ours:
            raise self.parameter.fault(
                CaffeFormatError(
                    "shares its weight and is overwritten: needs an Eltwise with coeff 0 and 1 "
                    "in place and a Silence as its only readers, got others"
                )
            )
        parameter, copy, silence = self.steps
        return Dynamic(copy.bottoms[1], parameter.name, copy.name, silence.name)


def _is_copy(step: Step, before: Value) -> bool:
    return step.layer == COPY and step.bottoms[0] == before != step.bottoms[1]


def _is_silence(step: Step) -> bool:
    return isinstance(step.layer, Silence) and len(step.bottoms) == 1


def _computed(steps: Sequence[Step]) -> dict[str, _Computed]:
    """Return for each shared name its Parameter, if another layer overwrites that memory."""
    overwritten = {top._replace(version=0) for step in steps for top in step.tops if top.version}
    users = [spec.name for step in steps for spec in step.params]
    return {
        step.params[0].name: _Computed(steps, step)
        for step in steps
        if isinstance(step.layer, Parameter)
        and step.params
        and users.count(step.params[0].name) > 1
        and step.tops[0] in overwritten
    }


def _reading(step: Step, found: Mapping[str, _Computed]) -> Step:
    names = [spec.name for spec in step.params]
    if not set(names).intersection(found):
        return step
    if not set(names) <= set(found):
        error = f"needs all of its weights computed or none, got {names}"
        raise step.fault(CaffeFormatError(error))
    return replace(step, params=(), dynamic=tuple(found[name].dynamic() for name in names))
