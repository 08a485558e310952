"""Step: a named use of a layer, and the values that it reads and writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from caffe2fx.errors import CaffeError, ShapeMismatchError, message_of
from caffe2fx.layers import Source
from caffe2fx.layers.layer import Layer, RecordModule
from caffe2fx.messages.common import ParamSpec, Phase
from caffe2fx.messages.layer_parameter import LayerHints
from caffe2fx.messages.message import Shape
from caffe2fx.origin import Origin
from caffe2fx.weights.blob_message import MAX_COUNT


class Value(NamedTuple):
    """Names the value that one step writes: the `version`-th content of a blob.

    In a file a chain of in-place layers writes one blob several times; here each write is a value
    of its own, so the single-assignment form and the file form name the same thing.
    """

    blob: str
    version: int = 0

    def __str__(self) -> str:
        return self.blob if self.version == 0 else f"{self.blob}#{self.version}"


class Dynamic(NamedTuple):
    """Names a weight blob that the net itself computes, as in a product of two activations.

    In Caffe only a Parameter layer shares its weight with others: its top is the memory of its
    weight, and of every weight that has its param name. Files therefore write a dynamic weight as
    three layers before the one that uses it: the Parameter, an Eltwise that overwrites it in place
    with `value`, and a Silence; here are their names.
    """

    value: Value
    parameter: str
    copy: str
    silence: str


@dataclass(frozen=True, eq=False)
class Step:
    """Holds one named use of a layer: its record, bottoms, tops, weight blobs and origin.

    `dynamic` replaces `blobs`: a step that has it has no `blobs`.
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
        """Return whether gradients of this step reach the layers that compute that bottom."""
        return not self.propagate_down or self.propagate_down[bottom]

    @property
    def loss_weights(self) -> tuple[float, ...]:
        """Return the weight of each top in the net's loss; a loss's first top has 1 by default.

        A loss whose file names no top has one all the same.
        """
        if self.loss_weight:
            return self.loss_weight
        return (1.0,) if self.layer.is_loss else (0.0,) * len(self.tops)

    @property
    def shares_memory(self) -> bool:
        """Return whether Caffe makes this step's tops the very memory of its bottom."""
        return self.layer.shares(len(self.bottoms), len(self.tops))

    @property
    def reads(self) -> tuple[Value, ...]:
        """Return the bottoms, and then the values of dynamic weights."""
        return (*self.bottoms, *(weight.value for weight in self.dynamic))

    def reading(self, new: Mapping[Value, Value]) -> Step:
        """Return the same step with the values that it reads mapped by `new`."""
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
        """Return the same error with this step's name, type and source line in front of it."""
        where = f" ({self.origin})" if self.origin.file else ""
        return type(error)(f"layer {self.name!r} ({self.layer.type}) {error}{where}")

    def top_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        """Return the shapes of the tops. Raises the errors with which Caffe itself would abort."""
        try:
            self.layer.check(bottoms, len(self.tops))
            self._check_overwriting(bottoms)
            self._check_loss_weights()
            self.layer.check_params(self.params)
            if len(self.propagate_down) not in (0, len(bottoms)):
                need = f"for none or all of {len(bottoms)} bottoms, got {self.propagate_down}"
                raise ShapeMismatchError(f"needs propagate_down {need}")
            tops = self.layer.top_shapes(bottoms, len(self.tops))
            blobs = self.layer.blob_shapes(bottoms)
            if len(self.params) > len(blobs):
                need = f"{len(blobs)} param(s) at most, one a blob, got {len(self.params)}"
                raise ShapeMismatchError(f"needs {need}")
            for shape in (*tops, *blobs):
                _check_size(shape)
        except CaffeError as error:
            raise self.fault(error) from None
        except (ArithmeticError, LookupError, RuntimeError, ValueError) as error:
            # Of formulas: not each parameter is checked to be finite, to be not 0, and so on.
            text = f"{_NEEDS_OTHERS}, got {message_of(error)}"
            raise self.fault(ShapeMismatchError(text)) from error
        return tops

    def _check_overwriting(self, bottoms: Sequence[Shape]) -> None:
        over = [top.blob for bottom, top in zip(self.bottoms, self.tops, strict=False)
                if bottom.blob == top.blob]  # fmt: skip
        if over and not self.layer.overwrites(bottoms, len(self.tops)):
            raise ShapeMismatchError(
                f"needs a top of its own, got its bottom {over[0]!r}: Caffe stops there, or "
                "overwrites a bottom that it still has to read"
            )

    def _check_loss_weights(self) -> None:
        tops = max(len(self.tops), self.layer.is_loss)
        if len(self.loss_weights) != tops:
            raise ShapeMismatchError(
                f"needs one loss_weight a top, got {len(self.loss_weights)} for {tops}"
            )

    def input_shapes(self, given: Sequence[Shape | None]) -> tuple[Shape, ...]:
        """Return the shapes of the tops that the caller fills; None in `given` takes the text's."""
        assert isinstance(self.layer, Source)
        try:
            return self.layer.completed(given)
        except CaffeError as error:
            raise self.fault(error) from None

    def module(self, reads: Sequence[Shape]) -> nn.Module:
        """Return the step as a module of the values that it `reads`."""
        tops = len(self.tops)
        if self.dynamic:
            made: nn.Module = RecordModule(self.layer, (), tops, dynamic=len(self.dynamic))
        else:
            made = self.layer.module(reads, self.blobs, tops)
        if isinstance(made, RecordModule):
            made.loss_weight = self.loss_weight
        return made

    def compute(
        self, values: Mapping[Value, Tensor], dtype: torch.dtype, *, losing_nan: bool = False
    ) -> tuple[Tensor, ...]:
        """Return the tops by the layer's meaning, from the values that it reads.

        With `losing_nan` they are those of a Caffe that loses NaN there (`compute_losing_nan`).
        """
        count = len(self.bottoms)
        read = [values[value].to(dtype) for value in self.reads]
        blobs = [*read[count:], *(blob.to(dtype) for blob in self.blobs)]
        compute = self.layer.compute_losing_nan if losing_nan else self.layer.compute
        return compute(read[:count], blobs, len(self.tops))

    def check_blobs(self, reads: Sequence[Shape]) -> None:
        """Raise ShapeMismatchError unless the weights have the shapes that the layer takes."""
        bottoms, dynamic = reads[: len(self.bottoms)], tuple(reads[len(self.bottoms) :])
        wanted = self.layer.blob_shapes(bottoms)
        got = (*dynamic, *(tuple(blob.shape) for blob in self.blobs))
        if wanted != got:
            shapes = f"needs weight blobs of shapes {_list(wanted)}, got {_list(got)}"
            raise self.fault(ShapeMismatchError(shapes))


MAX_AXES = 32
_NEEDS_OTHERS = "needs parameters and bottoms for which its shapes can be computed"


def _check_size(shape: Shape) -> None:
    """Raise for a size that Caffe refuses: it counts elements in an int, and uses no empty blob."""
    if len(shape) > MAX_AXES:
        raise ShapeMismatchError(f"needs blobs of at most {MAX_AXES} axes, got {len(shape)}")
    if min(shape, default=1) < 1:
        raise ShapeMismatchError(f"needs blobs with sizes of 1 or more, got {shape}")
    if prod(shape) > MAX_COUNT:
        raise ShapeMismatchError(f"needs blobs of at most {MAX_COUNT} values, got {shape}")


def _list(shapes: Sequence[Shape]) -> str:
    return ", ".join("x".join(map(str, shape)) or "scalar" for shape in shapes) or "none"


def is_input(step: Step) -> bool:
    """Return whether the caller fills this step's tops."""
    return isinstance(step.layer, Source)
