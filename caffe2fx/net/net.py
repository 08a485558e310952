"""Net: a Caffe net in single-assignment form, where every value is written once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from caffe2fx.layers import Source
from caffe2fx.messages.message import Shape
from caffe2fx.net.step import Step, Value, is_input

T = TypeVar("T")


@dataclass(frozen=True, repr=False)
class Net:
    """Holds steps in order of execution and the values that are the net's results.

    `overwritten`: where this is a part of a net, the values that the rest overwrites in place.
    """

    steps: tuple[Step, ...]
    outputs: tuple[Value, ...]
    name: str = ""
    overwritten: frozenset[Value] = frozenset()
    _facts: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, name: str, compute: Callable[[], T]) -> T:
        """Return the result of `compute`, computed once for all nets that differ in weights alone.

        It has to follow from the layers and from which values they read, never from the weights.
        """
        if name not in self._facts:
            self._facts[name] = compute()
        return cast("T", self._facts[name])

    def refilled(self, steps: Sequence[Step]) -> Net:
        """Return the net with steps that differ from its own in their weights alone."""
        net = replace(self, steps=tuple(steps))
        net._facts.update(self._facts)
        return net

    @property
    def inputs(self) -> tuple[Value, ...]:
        """Return the values that the caller fills: tops of Input and of layers that read data."""
        return tuple(top for step in self.steps if is_input(step) for top in step.tops)

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __repr__(self) -> str:
        count = sum(not is_input(step) for step in self.steps)
        inputs, outputs = (
            ", ".join(v.blob for v in values) for values in (self.inputs, self.outputs)
        )
        return f"<Net {self.name!r}: {count} layers, {inputs or '()'} -> {outputs or '()'}>"

    def _repr_html_(self) -> str:
        from caffe2fx.net.drawing import html_of  # it draws nets, which are defined here

        return html_of(self)

    def __str__(self) -> str:
        lines = [str(step) for step in self.steps]
        return "\n".join([*lines, f"outputs: {', '.join(map(str, self.outputs))}"])

    def names(self) -> dict[str, Value]:
        """Return every value by its name in Caffe, in order of execution.

        A blob that in-place layers overwrite has its final content under its own name, and the
        output of each of its layers under "blob@layer".
        """
        last = {top.blob: top for step in self.steps for top in step.tops}
        named = {}
        for step in self.steps:
            for top in step.tops:
                final = last[top.blob]
                if final.version or final in self.overwritten:
                    named[f"{top.blob}@{step.name}"] = top
                if top == final and top not in self.overwritten:
                    named[top.blob] = top
        return named

    def producers(self) -> dict[Value, Step]:
        """Return the step that writes each value."""
        return {top: step for step in self.steps for top in step.tops}

    def uses(self) -> Counter[Value]:
        """Return how often each value is read; being an output counts as one reading."""
        counted = Counter(value for step in self.steps for value in step.reads)
        counted.update(self.outputs)
        return counted

    def shapes(self) -> dict[Value, Shape]:
        """Return the shape of every value; raise where Caffe would abort, with the layer's name."""
        return dict(self.once("shapes", self._shapes))

    def _shapes(self) -> dict[Value, Shape]:
        known: dict[Value, Shape] = {}
        for step in self.steps:
            bottoms = [known[bottom] for bottom in step.bottoms]
            known.update(zip(step.tops, step.top_shapes(bottoms), strict=True))
        return known

    def check_blobs(self) -> None:
        """Raise ShapeMismatchError if the weights of a step do not fit its layer."""
        shapes = self.shapes()
        for step in self.steps:
            step.check_blobs([shapes[value] for value in step.reads])

    def reshaped(self, shapes: Sequence[Shape]) -> Net:
        """Return the same net with other input shapes, in the order of `inputs`."""
        waiting = iter(shapes)
        steps = tuple(
            replace(step, layer=step.layer.as_input([next(waiting) for _ in step.tops]))
            if isinstance(step.layer, Source)
            else step
            for step in self.steps
        )
        return replace(self, steps=steps)
