"""Give values whose axis 0 is no batch of 1 an axis before it, for programs that drop axis 0.

before: Reshape -> (5, 1, 8), TanH, Concat{axis: 2}     after: Reshape -> (1, 5, 1, 8), TanH,
                                                               Concat{axis: 3}

ncnn keeps no axis 0: it reads a Reshape to (5, 1, 8) as one to (1, 8), and one to (5, 8) as one to
all the elements, whose order remains.
"""

from __future__ import annotations

from dataclasses import replace

from caffe2fx.layers import (
    ELU,
    Concat,
    Eltwise,
    Power,
    ReLU,
    Reshape,
    Sigmoid,
    Slice,
    Softmax,
    TanH,
)
from caffe2fx.messages.message import Shape
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value
from caffe2fx.net.unique_names import unique_name
from fx2caffe.passes.dead_steps import drop_dead_steps
from fx2caffe.passes.pass_result import PassResult
from fx2caffe.targets import Target

_ELEMENTWISE = (ELU, Eltwise, Power, ReLU, Sigmoid, TanH)
_ALONG_AXIS = (Concat, Slice, Softmax)


def lift_samples(net: Net, target: Target) -> PassResult:
    """Return the net with values of shape (1, a, b ..) in place of (a, b ..), but for outputs."""
    if not target.drops_batch or not any(map(_is_dropped, net.shapes().values())):
        return PassResult(net)
    lifter = _Lifter(net)
    for step in net.steps:
        lifter.add(step)
    gone = {value: () for value, lifted in lifter.lifted.items() if value == lifted}
    lifted = replace(net, steps=tuple(lifter.steps))
    return PassResult(drop_dead_steps(lifted), gone)  # a top whose readers all read it lifted


def dropped_axes(net: Net) -> dict[Value, Shape]:
    """Return the values of which a program that drops axis 0 would lose elements or axes."""
    shapes = net.shapes()
    read = {
        value
        for step in net.steps
        if not isinstance(step.layer, (*_ELEMENTWISE, Reshape))
        for value in (*step.bottoms, *step.tops)
    }
    return {
        value: shape
        for value, shape in shapes.items()
        if _is_dropped(shape) and (len(shape) == 3 or value in read)
    }


def _is_dropped(shape: Shape) -> bool:
    return len(shape) in (2, 3) and shape[0] != 1


class _Lifter:
    """Collects the steps; `lifted` has the value of shape (1, a, b ..) for one of (a, b ..)."""

    def __init__(self, net: Net) -> None:
        self.steps: list[Step] = []
        self.lifted: dict[Value, Value] = {}
        self._shapes, self._outputs = net.shapes(), set(net.outputs)
        self._taken = {name for s in net.steps for name in (s.name, *(t.blob for t in s.tops))}

    def add(self, step: Step) -> None:
        if not any(_is_dropped(self._shapes[value]) for value in (*step.bottoms, *step.tops)):
            self.steps.append(step)
        elif isinstance(step.layer, Reshape):
            self._add_reshape(step)
        elif isinstance(step.layer, (*_ELEMENTWISE, *_ALONG_AXIS)):
            self._add_lifted(step)
        else:
            self.steps.append(step.reading({value: self._plain(value) for value in step.bottoms}))

    def _add_reshape(self, step: Step) -> None:
        (bottom,), (top,) = step.bottoms, step.tops
        shape = self._shapes[top]
        if self._may_lift(top):
            shape, self.lifted[top] = (1, *shape), top
        source = self.lifted.get(bottom, bottom)
        self.steps.append(replace(step, layer=Reshape(shape=shape), bottoms=(source,)))

    def _add_lifted(self, step: Step) -> None:
        layer = step.layer
        if isinstance(layer, _ALONG_AXIS):
            layer = layer.replace(axis=layer.axis + 1)
        bottoms = tuple(map(self._lift, step.bottoms))
        kept = [top if self._may_lift(top) else self._new(top) for top in step.tops]
        renamed = len(kept) == 1 and kept[0] != step.tops[0]
        name = kept[0].blob if renamed else step.name
        self.steps.append(replace(step, name=name, layer=layer, bottoms=bottoms, tops=tuple(kept)))
        for top, made in zip(step.tops, kept, strict=True):
            self.lifted[top] = made
            if top != made:
                self._reshape(made, top, self._shapes[top], step)

    def _may_lift(self, value: Value) -> bool:
        return _is_dropped(self._shapes[value]) and value not in self._outputs

    def _lift(self, value: Value) -> Value:
        if value not in self.lifted:
            self.lifted[value] = self._new(value)
            self._reshape(value, self.lifted[value], (1, *self._shapes[value]))
        return self.lifted[value]

    def _plain(self, value: Value) -> Value:
        if self.lifted.get(value) != value:
            return value
        made = self._new(value)
        self._reshape(value, made, self._shapes[value])
        return made

    def _new(self, value: Value) -> Value:
        return Value(unique_name(f"{value.blob}/sample", self._taken))

    def _reshape(self, source: Value, top: Value, shape: Shape, step: Step | None = None) -> None:
        made = Step(top.blob, Reshape(shape=shape), (source,), (top,))
        self.steps.append(made if step is None else replace(made, origin=step.origin))
