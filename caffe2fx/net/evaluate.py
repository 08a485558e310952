"""Compute the values of a net or a graph step by step, and release each once nothing reads it."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from caffe2fx import compat
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value

MOST_KEPT = 1 << 22  # elements of a net's values, 32 MB in float64
LARGEST = torch.finfo(torch.float32).max
Pairs = Iterable[tuple[Value, Tensor]]


@dataclass(frozen=True)
class Reference:
    """Holds the reference of a net: its `known` values, and the function that computes them.

    `run` computes in the float type of the inputs and yields `known`, among them the net's inputs,
    in any order; in the net's order, few of them have to be kept at a time.
    """

    known: Collection[Value]
    run: Callable[[Sequence[Tensor]], Pairs]


def own_reference(net: Net) -> Reference:
    """Return the reference that knows the inputs alone: the layers' own meaning gives all else."""
    return Reference(net.inputs, lambda inputs: zip(net.inputs, inputs, strict=True))


class StepwiseEvaluation:
    """Evaluates a net on one set of inputs, step by step, in the float type of the inputs.

    The values that the reference knows come from it, all others from the layers' own meaning.
    Between `enter` and `leave` of a step, `values` holds its reads and its tops.
    """

    def __init__(self, net: Net, reference: Reference, inputs: Sequence[Tensor]) -> None:
        self.values: dict[Value, Tensor] = {}
        self._known, self._pending = reference.known, iter(reference.run(inputs))
        self._dtype = inputs[0].dtype
        self._readers = Counter(value for step in net.steps for value in step.reads)

    def enter(self, step: Step) -> None:
        """Compute the step's tops, or take them from the reference, into `values`."""
        for top in step.tops:
            if top in self._known:
                self._pull(top)
        if any(top not in self.values for top in step.tops):
            self.values.update(computed(step, self.values, self._dtype))

    def _pull(self, wanted: Value) -> None:
        while wanted not in self.values:
            value, tensor = next(self._pending)
            self.values[value] = tensor

    def leave(self, step: Step) -> None:
        """Release the values that no later step reads."""
        self._readers.subtract(step.reads)
        for value in (*step.reads, *step.tops):
            if not self._readers[value]:
                self.values.pop(value, None)


class RepeatedEvaluation:
    """Evaluates a net on the same inputs several times, of which only the first has to compute.

    The values are kept if they have at most MOST_KEPT elements in all, else computed each time.
    """

    def __init__(self, net: Net, reference: Reference, inputs: Sequence[Tensor]) -> None:
        self._net, self._reference, self._inputs = net, reference, inputs
        self.kept: dict[Value, Tensor] | None = None  # all values, after a run to the end

    def begin(self) -> StepwiseEvaluation:
        """Return an evaluation that is at the first step."""
        if self.kept is not None:
            return _Replayed(self.kept)
        return _Recorded(self, self._net, self._reference, self._inputs)


class _Recorded(StepwiseEvaluation):
    """Keeps all values of a run to the end, as long as they are few."""

    def __init__(
        self, owner: RepeatedEvaluation, net: Net, reference: Reference, inputs: Sequence[Tensor]
    ) -> None:
        super().__init__(net, reference, inputs)
        self._owner, self._last = owner, net.steps[-1] if net.steps else None
        self._record: dict[Value, Tensor] = {}
        self._left = MOST_KEPT  # elements that may still be kept

    def enter(self, step: Step) -> None:
        super().enter(step)
        self._left -= sum(self.values[top].numel() for top in step.tops)
        if self._left < 0:
            self._record.clear()
            return
        self._record.update((top, self.values[top]) for top in step.tops)
        if step is self._last:
            self._owner.kept = self._record


class _Replayed(StepwiseEvaluation):
    """Gives the values of an earlier run."""

    def __init__(self, values: dict[Value, Tensor]) -> None:
        self.values = values

    def enter(self, step: Step) -> None:
        """Do nothing: the values are there."""

    def leave(self, step: Step) -> None:
        """Release nothing, for the next run."""


class Filled(StepwiseEvaluation):
    """Evaluates a net on inputs filled with one value; a layer that fails on it gives it again."""

    def __init__(self, net: Net, inputs: Sequence[Tensor], fill_value: float) -> None:
        filled = [torch.full_like(value, fill_value) for value in inputs]
        super().__init__(net, own_reference(net), filled)
        self._shapes = net.reshaped([tuple(value.shape) for value in inputs]).shapes()
        self._fill_value = fill_value

    def enter(self, step: Step) -> None:
        try:
            super().enter(step)
        except Exception:  # the value may be invalid there, such as an index out of range
            missing = [top for top in step.tops if top not in self.values]
            self.values.update(
                {top: torch.full(self._shapes[top], self._fill_value) for top in missing}
            )


def in_range(value: Any) -> Any:
    """Return float64 tensors, alone or in containers, with infinity for what float32 cannot hold.

    Float64 is a reference for float32's rounding, not for its range: where torch and Caffe
    overflow alike, the reference does as well. Anything else is returned as it is.
    """
    if isinstance(value, tuple | list):
        parts = fx.node.map_aggregate(value, in_range)
        return value if all(map(operator.is_, parts, value)) else parts
    if not isinstance(value, Tensor) or value.dtype is not torch.float64 or not value.numel():
        return value
    least, most = torch.aminmax(value.detach())
    if float(least) >= -LARGEST and float(most) <= LARGEST:
        return value
    return torch.where(value.abs() <= LARGEST, value, value.float().double())


def complete(net: Net, known: Mapping[Value, Tensor]) -> dict[Value, Tensor]:
    """Return all values of a net: the known ones, and the others by the layers' own meaning."""
    values = dict(known)
    dtype = next(iter(known.values())).dtype
    with torch.no_grad():
        for step in net.steps:
            if any(top not in values for top in step.tops):
                values.update(computed(step, values, dtype))
    return values


def computed(
    step: Step, values: Mapping[Value, Tensor], dtype: torch.dtype
) -> Iterator[tuple[Value, Tensor]]:
    """Yield the tops of a step that are not among `values`, by the layer's own meaning."""
    tops = step.compute(values, dtype)
    for value, top in zip(step.tops, tops, strict=True):
        if value not in values:
            yield value, in_range(top.to(dtype))


class WithoutHooks(fx.Interpreter):
    """Runs the modules of a graph without hooks: global ones are meant for the user's modules."""

    def call_module(
        self, target: fx.node.Target, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        return self.fetch_attr(str(target)).forward(*args, **kwargs)


def streamed(interpreter: fx.Interpreter, *args: Any) -> Iterator[tuple[fx.Node, Any]]:
    """Yield node and value as `interpreter.run` does, releasing values that no later node reads."""
    graph = compat.graph_of(interpreter)
    interpreter.args_iter = iter(graph.process_inputs(*args))
    interpreter.env = {}
    for node in graph.nodes:
        interpreter.env[node] = result = in_range(interpreter.run_node(node))
        if node.op != "output":
            yield node, result
        for unused in interpreter.user_to_last_uses.get(node, ()):
            del interpreter.env[unused]
