"""Net and Step: a Caffe net in single-assignment form, where every value is written once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from caffe2fx.caffemodel import MAX_COUNT
from caffe2fx.errors import CaffeError, CaffeFormatError, ShapeMismatchError
from caffe2fx.layer import Layer, Operation
from caffe2fx.layers import Source
from caffe2fx.message import LayerHints, ParamSpec, Phase, Shape
from caffe2fx.origin import Origin


class Value(NamedTuple):
    """What one step writes: the `version`-th content of a blob.

    In a file a chain of in-place layers writes one blob several times; here each writing is a
    value of its own, so the single-assignment form and the file form name the same thing.
    """

    blob: str
    version: int = 0

    def __str__(self) -> str:
        return self.blob if self.version == 0 else f"{self.blob}#{self.version}"


class Dynamic(NamedTuple):
    """A weight blob that the net itself computes, as in a product of two activations.

    Caffe's layers keep their weights to themselves, but for this: a Parameter layer's top is
    the memory of its weight, and of every weight that has its param name. Files therefore say
    a dynamic weight in three layers before the one that uses it: the Parameter, an Eltwise
    that overwrites it in place with `value`, and a Silence; here are their names.
    """

    value: Value
    parameter: str
    copy: str
    silence: str


@dataclass(frozen=True, eq=False)
class Step:
    """One named use of a layer: its record, what it reads and writes, its weights.

    `dynamic` stands in for `blobs`: of a step that has it, `blobs` is empty.
    """

    name: str
    layer: Layer
    bottoms: tuple[Value, ...] = ()
    tops: tuple[Value, ...] = ()
    blobs: tuple[Tensor, ...] = ()
    params: tuple[ParamSpec, ...] = ()
    origin: Origin = field(default_factory=Origin)
    dynamic: tuple[Dynamic, ...] = ()
    loss_weight: tuple[float, ...] = ()
    propagate_down: tuple[bool, ...] = ()
    phase: Phase | None = None  # the layer's own, whatever the net's is
    hints: LayerHints = LayerHints()

    def passes_gradient(self, bottom: int) -> bool:
        """Whether what this step learns from reaches the layers before that bottom."""
        return not self.propagate_down or self.propagate_down[bottom]

    @property
    def loss_weights(self) -> tuple[float, ...]:
        """How much each top adds to the loss of the net; of a loss the first adds 1 untold.

        A loss whose file names no top has one all the same.
        """
        if self.loss_weight:
            return self.loss_weight
        return (1.0,) if self.layer.is_loss else (0.0,) * len(self.tops)

    @property
    def shares_memory(self) -> bool:
        """Whether Caffe makes this step's tops the very memory of its bottom."""
        return self.layer.shares(len(self.bottoms), len(self.tops))

    @property
    def reads(self) -> tuple[Value, ...]:
        """The bottoms, and then the values of dynamic weights."""
        return (*self.bottoms, *(weight.value for weight in self.dynamic))

    def reading(self, new: Mapping[Value, Value]) -> Step:
        """The same step with what it reads replaced by what `new` says."""
        bottoms = tuple(new.get(value, value) for value in self.bottoms)
        dynamic = tuple(w._replace(value=new.get(w.value, w.value)) for w in self.dynamic)
        return replace(self, bottoms=bottoms, dynamic=dynamic)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Step):
            return NotImplemented
        same = self._wiring() == other._wiring() and len(self.blobs) == len(other.blobs)
        return same and all(map(torch.equal, self.blobs, other.blobs))

    __hash__ = None  # type: ignore[assignment]

    def _wiring(self) -> tuple[object, ...]:
        return (self.name, self.layer, self.bottoms, self.tops, self.params,
                self.dynamic, self.loss_weight, self.propagate_down, self.phase,
                self.hints)  # fmt: skip

    def __str__(self) -> str:
        tops, bottoms = (", ".join(map(str, values)) for values in (self.tops, self.reads))
        return f"{self.name}: {tops or '()'} = {self.layer} <- {bottoms or '()'}"

    def fault(self, error: CaffeError) -> CaffeError:
        """The same error with this step's name, type and place in front of it."""
        where = f" ({self.origin})" if self.origin.file else ""
        return type(error)(f"layer {self.name!r} ({self.layer.type}) {error}{where}")

    def top_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        """Shapes of the tops, after all that Caffe itself would check."""
        try:
            self.layer.check(bottoms, len(self.tops))
            self._check_overwriting(bottoms)
            self._check_loss_weights()
            self.layer.check_params(self.params)
            if len(self.propagate_down) not in (0, len(bottoms)):
                said = f"for none or all of {len(bottoms)} bottoms, got {self.propagate_down}"
                raise ShapeMismatchError(f"needs propagate_down {said}")
            tops = self.layer.top_shapes(bottoms, len(self.tops))
            blobs = self.layer.blob_shapes(bottoms)
            if len(self.params) > len(blobs):
                said = f"{len(blobs)} param(s) at most, one a blob, got {len(self.params)}"
                raise ShapeMismatchError(f"needs {said}")
            for shape in (*tops, *blobs):
                _check_size(shape)
        except CaffeError as error:
            raise self.fault(error) from None
        return tops

    def _check_overwriting(self, bottoms: Sequence[Shape]) -> None:
        over = [top.blob for bottom, top in zip(self.bottoms, self.tops, strict=False)
                if bottom.blob == top.blob]  # fmt: skip
        if over and not self.layer.overwrites(bottoms, len(self.tops)):
            raise ShapeMismatchError(
                f"needs a top of its own, got its bottom {over[0]!r}: Caffe stops there, or "
                "overwrites what it still has to read"
            )

    def _check_loss_weights(self) -> None:
        tops = max(len(self.tops), self.layer.is_loss)
        if len(self.loss_weights) != tops:
            raise ShapeMismatchError(
                f"needs one loss_weight a top, got {len(self.loss_weights)} for {tops}"
            )

    def input_shapes(self, given: Sequence[Shape | None]) -> tuple[Shape, ...]:
        """Shapes of the tops that the caller fills, of which some are given (None: as stated)."""
        assert isinstance(self.layer, Source)
        try:
            return self.layer.completed(given)
        except CaffeError as error:
            raise self.fault(error) from None

    def module(self, reads: Sequence[Shape]) -> nn.Module:
        """The step as a module of what it `reads`."""
        tops = len(self.tops)
        if self.dynamic:
            made: nn.Module = Operation(self.layer, (), tops, dynamic=len(self.dynamic))
        else:
            made = self.layer.module(reads, self.blobs, tops)
        if isinstance(made, Operation):
            made.loss_weight = self.loss_weight
        return made

    def compute(
        self, values: Mapping[Value, Tensor], dtype: torch.dtype
    ) -> tuple[Tensor, ...]:
        """The tops as the layer's meaning gives them, from the values that it reads."""
        count = len(self.bottoms)
        read = [values[value].to(dtype) for value in self.reads]
        blobs = [*read[count:], *(blob.to(dtype) for blob in self.blobs)]
        return self.layer.compute(read[:count], blobs, len(self.tops))

    def check_blobs(self, reads: Sequence[Shape]) -> None:
        """Raise ShapeMismatchError unless the weights have the shapes that the layer takes."""
        bottoms, dynamic = reads[: len(self.bottoms)], tuple(reads[len(self.bottoms) :])
        wanted = self.layer.blob_shapes(bottoms)
        got = (*dynamic, *(tuple(blob.shape) for blob in self.blobs))
        if wanted != got:
            shapes = f"needs weight blobs of shapes {_list(wanted)}, got {_list(got)}"
            raise self.fault(ShapeMismatchError(shapes))


MAX_AXES = 32


def _check_size(shape: Shape) -> None:
    """Caffe counts the values of a blob in an int, and stops at the first use of an empty one."""
    if len(shape) > MAX_AXES:
        raise ShapeMismatchError(f"needs blobs of at most {MAX_AXES} axes, got {len(shape)}")
    if min(shape, default=1) < 1:
        raise ShapeMismatchError(f"needs blobs with sizes of 1 or more, got {shape}")
    if prod(shape) > MAX_COUNT:
        raise ShapeMismatchError(f"needs blobs of at most {MAX_COUNT} values, got {shape}")


def _list(shapes: Sequence[Shape]) -> str:
    return ", ".join("x".join(map(str, shape)) or "scalar" for shape in shapes) or "none"


@dataclass(frozen=True)
class Net:
    """Steps in order of execution and the values that are the net's results.

    `overwritten`: where this is a part of a net, the values that the rest overwrites in place.
    """

    steps: tuple[Step, ...]
    outputs: tuple[Value, ...]
    name: str = ""
    overwritten: frozenset[Value] = frozenset()

    @property
    def inputs(self) -> tuple[Value, ...]:
        """What the caller fills: the tops of Input layers, and of those that read data."""
        return tuple(top for step in self.steps if is_input(step) for top in step.tops)

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __str__(self) -> str:
        lines = [str(step) for step in self.steps]
        return "\n".join([*lines, f"outputs: {', '.join(map(str, self.outputs))}"])

    def names(self) -> dict[str, Value]:
        """Every value by its name in Caffe, in order of execution.

        A blob that in-place layers overwrite stands under its own name with its final content,
        and under "blob@layer" with what each of its layers produced.
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
        """Which step writes each value."""
        return {top: step for step in self.steps for top in step.tops}

    def uses(self) -> Counter[Value]:
        """How often each value is read, being an output counted as one reading."""
        counted = Counter(value for step in self.steps for value in step.reads)
        counted.update(self.outputs)
        return counted

    def shapes(self) -> dict[Value, Shape]:
        """The shape of every value; raises what Caffe would abort with, layer named."""
        known: dict[Value, Shape] = {}
        for step in self.steps:
            bottoms = [known[bottom] for bottom in step.bottoms]
            known.update(zip(step.tops, step.top_shapes(bottoms), strict=True))
        return known

    def check_blobs(self) -> None:
        """Raise ShapeMismatchError where weights do not fit their layer."""
        shapes = self.shapes()
        for step in self.steps:
            step.check_blobs([shapes[value] for value in step.reads])

    def reshaped(self, shapes: Sequence[Shape]) -> Net:
        """The same net with other input shapes, in the order of `inputs`."""
        waiting = iter(shapes)
        steps = tuple(
            replace(step, layer=step.layer.as_input([next(waiting) for _ in step.tops]))
            if isinstance(step.layer, Source)
            else step
            for step in self.steps
        )
        return replace(self, steps=steps)

    def with_batch(self, batch: int) -> Net:
        """The same net with another first dimension of every input."""
        shapes = self.shapes()
        return self.reshaped([(batch, *shapes[value][1:]) for value in self.inputs])


def is_input(step: Step) -> bool:
    """Whether the caller fills this step's tops."""
    return isinstance(step.layer, Source)


def single_assignment(
    wiring: Sequence[tuple[str, Sequence[str], Sequence[str]]],
) -> list[tuple[tuple[Value, ...], tuple[Value, ...]]]:
    """Blob names of a file, layer by layer, into values: each in-place top is a new version.

    `wiring` holds (what errors call the layer, bottoms, tops) in order. Raises CaffeFormatError
    for a bottom that nothing has produced and for a blob that two layers produce.
    """
    current: dict[str, Value] = {}
    readers: dict[Value, str] = {}
    found = []
    for layer, bottoms, tops in wiring:
        read = tuple(_read(layer, blob, current) for blob in bottoms)
        written = tuple(
            _written(layer, blob, index, bottoms, current) for index, blob in enumerate(tops)
        )
        if len(set(tops)) < len(tops):
            raise CaffeFormatError(f"{layer} needs tops of different names, got {list(tops)}")
        _check_readers(layer, read, written, readers)
        current.update((value.blob, value) for value in written)
        found.append((read, written))
    return found


def _read(layer: str, blob: str, current: dict[str, Value]) -> Value:
    if blob not in current:
        raise CaffeFormatError(
            f"{layer} needs bottom {blob!r} to be produced before it, got no such blob"
        )
    return current[blob]


def _check_readers(
    layer: str, read: Sequence[Value], written: Sequence[Value], readers: dict[Value, str]
) -> None:
    """Caffe gives the readers of a blob copies of it; none of them can then overwrite it."""
    overwritten = {value._replace(version=value.version - 1) for value in written if value.version}
    for value in read:
        if value in overwritten and value in readers:
            raise CaffeFormatError(
                f"{layer} needs to be the only reader of {value.blob!r} in order to overwrite it, "
                f"got {readers[value]} before it"
            )
        readers[value] = layer


def _written(
    layer: str, blob: str, index: int, bottoms: Sequence[str], current: dict[str, Value]
) -> Value:
    if blob not in current:
        return Value(blob)
    if index < len(bottoms) and bottoms[index] == blob:
        return Value(blob, current[blob].version + 1)
    raise CaffeFormatError(
        f"{layer} needs a top of its own or its bottom's, got {blob!r}, "
        "which another layer produces"
    )


def unconsumed(steps: Sequence[Step]) -> tuple[Value, ...]:
    """What Caffe itself takes for outputs: tops that nobody reads, in alphabetical order."""
    # Where memory is shared, only what was in it before is gone.
    reads = (step.reads if step.layer.in_files else step.reads[1:] for step in steps)
    read = {value for values in reads for value in values}
    return tuple(sorted(top for step in steps for top in step.tops if top not in read))
