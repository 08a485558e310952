"""View: who writes and who reads each value of a net, as the matchers of passes ask for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cached_property

from caffe2fx.errors import CaffeError
from caffe2fx.layers.layer import Layer
from caffe2fx.messages.common import Phase
from caffe2fx.messages.message import Shape
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value


def is_plain(step: Step) -> bool:
    """Return whether a step is no more than its layer's meaning in TEST, so that it may vanish.

    Not so where its tops count in the loss, where it stops gradients, where its phase is TRAIN, or
    where the net computes its weights.
    """
    idle = not step.dynamic and not any(step.loss_weights) and all(step.propagate_down)
    return idle and step.phase is not Phase.TRAIN


class View:
    """Answers a matcher's questions on one net; it is made anew for each pass."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self._makers = net.producers()
        self._readers: dict[Value, list[Step]] = defaultdict(list)
        for step in net.steps:
            for value in step.reads:
                self._readers[value].append(step)

    @cached_property
    def _shapes(self) -> Sequence[dict[Value, Shape]]:
        """Return the shapes at the net's own batch, and at another if the net takes one."""
        found = [self.net.shapes()]
        with suppress(CaffeError, IndexError):
            sizes = [found[0][value] for value in self.net.inputs]
            found.append(self.net.reshaped([(s[0] + 1, *s[1:]) for s in sizes]).shapes())
        return found

    def shape(self, value: Value) -> Shape:
        """Return the shape of a value at the net's own batch."""
        return self._shapes[0][value]

    def same_shape(self, a: Value, b: Value) -> bool:
        """Return whether two values have one shape, whatever the batch is."""
        return all(shapes[a] == shapes[b] for shapes in self._shapes)

    def maker(self, value: Value) -> Step:
        """Return the step that writes the value."""
        return self._makers[value]

    def step_of(self, value: Value, layer: type[Layer]) -> Step | None:
        """Return the plain step that writes the value alone, if its layer is of that type."""
        step = self._makers[value]
        fits = type(step.layer) is layer and len(step.tops) == 1 and is_plain(step)
        return step if fits else None

    def is_closed(self, inner: Iterable[Step], root: Step) -> bool:
        """Return whether only `inner` and `root` read tops of `inner`, and none is an output."""
        inside = {id(step) for step in (*inner, root)}
        tops = [top for step in inner for top in step.tops]
        read = all(id(reader) in inside for top in tops for reader in self._readers[top])
        return read and not set(tops) & set(self.net.outputs)
