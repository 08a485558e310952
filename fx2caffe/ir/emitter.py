"""The emitter, through which alone handlers and rules add layers to a net."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from math import prod
from typing import Any, NamedTuple, NoReturn, TypeVar

import torch
from torch import Tensor

from caffe2fx.errors import CaffeError
from caffe2fx.layers import Flatten, Reshape
from caffe2fx.layers.layer import Layer
from caffe2fx.messages.message import Shape
from caffe2fx.net.step import Dynamic, Step, Value
from caffe2fx.net.unique_names import unique_name
from caffe2fx.origin import Origin
from fx2caffe.ir.symbol import FixBatch, Refused, Symbol

Blobs = Sequence[Tensor]
E = TypeVar("E", bound="Emitter")


class Mark(NamedTuple):
    """Holds the lengths of an emitter's collections, to which `undo` returns."""

    steps: int
    names: int
    reshape_sources: int
    annotations: int
    cost: int


class Emitter:
    """Collects steps and computes the shapes of each as it is added.

    `in_caffe` is whether Caffe itself runs them, whose layers compute as its source states.
    """

    in_caffe = True

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.inputs: list[Symbol] = []
        self.reshape_sources: dict[Value, Symbol] = {}  # the input of each reshape
        self.annotations: dict[
            Value, object
        ] = {}  # annotations that a value's producer leaves for its consumers
        self.cost = 0  # elements read, written and stored, plus two operations per multiply-add
        self._taken: set[str] = set()
        self._names: list[str] = []  # the taken names, in order
        self._name = ""
        self._origin = Origin()

    def mark(self) -> Mark:
        """Return the state that `undo` restores."""
        return Mark(
            len(self.steps),
            len(self._names),
            len(self.reshape_sources),
            len(self.annotations),
            self.cost,
        )

    def undo(self, mark: Mark) -> None:
        """Remove everything that was added since the mark."""
        del self.steps[mark.steps :]
        self._taken.difference_update(self._names[mark.names :])
        del self._names[mark.names :]
        added: tuple[tuple[dict[Value, Any], int], ...]
        added = (self.reshape_sources, mark.reshape_sources), (self.annotations, mark.annotations)
        for collected, length in added:
            while len(collected) > length:
                collected.popitem()
        self.cost = mark.cost

    def forked(self: E) -> E:
        """Return a copy with the steps collected so far, to which steps are added independently."""
        other = copy(self)
        other.steps, other.reshape_sources, other.annotations = (
            [*self.steps],
            {**self.reshape_sources},
            {**self.annotations},
        )
        other._taken, other._names = set(self._taken), [*self._names]
        return other

    @contextmanager
    def at(self, name: str, origin: Origin) -> Iterator[None]:
        """Name the steps added inside after `name`, and give them `origin`."""
        before = self._name, self._origin
        self._name, self._origin = name, origin
        try:
            yield
        finally:
            self._name, self._origin = before

    @property
    def scope(self) -> tuple[str, Origin]:
        """Return the name and the origin that are given to the steps added now."""
        return self._name, self._origin

    def add(
        self,
        layer: Layer,
        *bottoms: Symbol,
        blobs: Blobs = (),
        suffix: str = "",
        dynamic: Sequence[Symbol] = (),
    ) -> Symbol:
        """Add a layer with one top and return it.

        `suffix` is appended to the name of an auxiliary layer; `dynamic` are weights that the net
        computes, in place of `blobs`. Raises Refused if the layer does not take these shapes.
        """
        return self.add_many(layer, *bottoms, blobs=blobs, suffix=suffix, tops=1, dynamic=dynamic)[
            0
        ]

    def add_many(
        self,
        layer: Layer,
        *bottoms: Symbol,
        blobs: Blobs = (),
        suffix: str = "",
        tops: int = 1,
        dynamic: Sequence[Symbol] = (),
        loss_weight: tuple[float, ...] = (),
    ) -> tuple[Symbol, ...]:
        """Add a layer with several tops (or none) and return them."""
        name = self.unique(f"{self._name}/{suffix}" if suffix else self._name)
        blobs = tuple(blob.detach().to(torch.float32) for blob in blobs)
        values = tuple(
            Value(name if tops == 1 else self.unique(f"{name}:{index}")) for index in range(tops)
        )
        read = tuple(bottom.value for bottom in bottoms)
        weights = tuple(self._dynamic(symbol, name) for symbol in dynamic)
        step = Step(
            name,
            layer,
            read,
            values,
            blobs,
            origin=self._origin,
            dynamic=weights,
            loss_weight=loss_weight,
        )
        shapes = self._top_shapes(step, [bottom.shape for bottom in bottoms])
        others = self._other_shapes(step, [bottom.other_shape for bottom in bottoms])
        step.check_blobs([symbol.shape for symbol in (*bottoms, *dynamic)])
        self._check_other_blobs(step, [symbol.other_shape for symbol in (*bottoms, *dynamic)])
        self.steps.append(step)
        self.cost += _cost(step, [bottom.shape for bottom in bottoms], shapes)
        if isinstance(layer, Flatten | Reshape):
            self.reshape_sources[values[0]] = bottoms[0]
        return tuple(
            Symbol(value, shape, other)
            for value, shape, other in zip(values, shapes, others, strict=True)
        )

    def add_unread(self, layer: Layer, bottom: Symbol) -> Symbol:
        """Add a layer without asking the target; its top must have no reader in the end."""
        return Emitter.add_many(self, layer, bottom)[0]

    def _dynamic(self, symbol: Symbol, name: str) -> Dynamic:
        if symbol.shape != symbol.other_shape:
            self.fix_batch(f"{name} has a weight whose size follows the batch: {symbol.shape}")
        parameter = self.unique(f"{name}/weight")
        roles = (self.unique(f"{parameter}/{suffix}") for suffix in ("copy", "silence"))
        return Dynamic(symbol.value, parameter, *roles)

    def _top_shapes(self, step: Step, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        try:
            step.layer.check(bottoms, len(step.tops))
            return step.layer.top_shapes(bottoms, len(step.tops))
        except CaffeError as error:
            raise Refused(f"as {step.layer.type} {error}") from None

    def _other_shapes(self, step: Step, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        try:
            return self._top_shapes(step, bottoms)
        except CaffeError as error:
            self.fix_batch(f"{step.name}: {error}")

    def _check_other_blobs(self, step: Step, reads: Sequence[Shape]) -> None:
        try:
            step.check_blobs(reads)
        except CaffeError as error:
            self.fix_batch(f"{step.name}: {error}")

    def fix_batch(self, reason: str) -> NoReturn:
        """Give up the net for any batch. Raises FixBatch: the caller exports for one size."""
        raise FixBatch(reason)

    def unique(self, name: str) -> str:
        """Return `name`, with the suffix _1, _2 ... if another layer has it."""
        self._names.append(unique_name(name, self._taken))
        return self._names[-1]


def _cost(step: Step, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
    """Return the work and memory of a step; a reshape shares its bottom's memory and costs 0."""
    if step.shares_memory:
        return 0
    written, terms = sum(map(prod, tops)), step.layer.accumulation_length(bottoms)
    stored = sum(blob.numel() for blob in step.blobs)
    return sum(map(prod, bottoms)) + stored + written * (1 if terms == 1 else 1 + 2 * terms)
