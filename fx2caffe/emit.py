"""The emitter: handlers and rewrite rules add layers to a net through it, and only through it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from caffe2fx.errors import CaffeError
from caffe2fx.layer import Layer
from caffe2fx.layers import Flatten, Reshape
from caffe2fx.message import Shape
from caffe2fx.net import Step, Value
from caffe2fx.origin import Origin

Blobs = Sequence[Tensor]


class Refused(CaffeError):
    """Raised by a handler or rule: `needs <constraint>, got <value>`; the driver adds the place."""


@dataclass(frozen=True)
class Symbol:
    """A traced tensor while the net is built: the value that holds it and its shape.

    The shape is known for two batch sizes, that of the example and another: what differs
    carries the batch, and nothing else does.
    """

    value: Value
    shape: Shape
    other: Shape
    dtype: torch.dtype = torch.float32

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def carries_batch(self, axis: int) -> bool:
        """Whether the size of this axis follows the batch."""
        return self.shape[axis] != self.other[axis]

    def fixed(self, axis: int) -> int:
        """The size of an axis. Raises Refused if it follows the batch."""
        if self.carries_batch(axis):
            raise Refused(f"needs a size that does not depend on the batch, got axis {axis}")
        return self.shape[axis]


class Emitter:
    """Collects steps; every step's shapes are computed as it is added."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.batch_faults: list[str] = []
        self.views: dict[Value, Symbol] = {}  # what each reshaped value was before
        self._taken: set[str] = set()
        self._name = ""
        self._origin = Origin()

    @contextmanager
    def at(self, name: str, origin: Origin) -> Iterator[None]:
        """Steps added inside are named after `name` and come from `origin`."""
        before = self._name, self._origin
        self._name, self._origin = name, origin
        try:
            yield
        finally:
            self._name, self._origin = before

    @property
    def scope(self) -> tuple[str, Origin]:
        """What the steps added now are named after, and where they come from."""
        return self._name, self._origin

    def add(
        self, layer: Layer, *bottoms: Symbol, blobs: Blobs = (), role: str = ""
    ) -> Symbol:
        """Add a layer with one top. `role` is appended to the name of a helping layer."""
        return self.add_many(layer, *bottoms, blobs=blobs, role=role, tops=1)[0]

    def add_many(
        self, layer: Layer, *bottoms: Symbol, blobs: Blobs = (), role: str = "", tops: int = 1
    ) -> tuple[Symbol, ...]:
        """Add a layer with several tops (or none)."""
        name = self.unique(f"{self._name}/{role}" if role else self._name)
        blobs = tuple(blob.detach().to(torch.float32) for blob in blobs)
        values = tuple(
            Value(name if tops == 1 else self.unique(f"{name}:{index}")) for index in range(tops)
        )
        read = tuple(bottom.value for bottom in bottoms)
        step = Step(name, layer, read, values, blobs, origin=self._origin)
        shapes = self._top_shapes(step, [bottom.shape for bottom in bottoms])
        others = self._other_shapes(step, [bottom.other for bottom in bottoms], shapes)
        step.check_blobs([bottom.shape for bottom in bottoms])
        self.steps.append(step)
        if isinstance(layer, Flatten | Reshape):
            self.views[values[0]] = bottoms[0]
        return tuple(
            Symbol(value, shape, other)
            for value, shape, other in zip(values, shapes, others, strict=True)
        )

    def _top_shapes(self, step: Step, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        try:
            step.layer.check(bottoms, len(step.tops))
            return step.layer.top_shapes(bottoms, len(step.tops))
        except CaffeError as error:
            raise Refused(f"as {step.layer.type} {error}") from None

    def _other_shapes(
        self, step: Step, bottoms: Sequence[Shape], shapes: tuple[Shape, ...]
    ) -> tuple[Shape, ...]:
        try:
            return self._top_shapes(step, bottoms)
        except CaffeError as error:
            self.batch_faults.append(f"{step.name}: {error}")
            return shapes

    def unique(self, name: str) -> str:
        """`name`, numbered if it is taken."""
        number, candidate = 0, name
        while candidate in self._taken:
            number += 1
            candidate = f"{name}_{number}"
        self._taken.add(candidate)
        return candidate
