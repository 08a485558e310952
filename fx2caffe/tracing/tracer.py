"""One run of a model's forward becomes a flat, functional torch.fx graph."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from caffe2fx import compat
from fx2caffe.errors import Refusal, UnsupportedError
from fx2caffe.tracing.fidelity import (
    checksums,
    first_difference,
    lost_in_float32,
    own_outputs,
    without_the_first,
)
from fx2caffe.tracing.model import model_inputs, pytree
from fx2caffe.tracing.model.export_flags import exporting
from fx2caffe.tracing.model.module_calls import ModulePath
from fx2caffe.tracing.model.original import ALONE, Original, Reach, private_copy
from fx2caffe.tracing.model.precision import Replaced, asked_in_float32
from fx2caffe.tracing.recording.cut_points import EndRun, ModuleResults, as_one
from fx2caffe.tracing.recording.dispatch_guard import RANDOM, Known, guard_class
from fx2caffe.tracing.recording.graph_builder import GraphBuilder
from fx2caffe.tracing.recording.leaf_call import LeafCall, LeafForward
from fx2caffe.tracing.recording.leaf_functions import LeafFunctionCalls, LeafProfile
from fx2caffe.tracing.recording.recorder import Recorder
from fx2caffe.tracing.recording.refusal_log import RefusalLog
from fx2caffe.tracing.recording.size_use import SizeUse
from fx2caffe.tracing.values.aliasing import UnseenWrite
from fx2caffe.tracing.values.samples import with_more
from fx2caffe.tracing.values.tensor_meta import TensorMeta
from fx2caffe.tracing.values.value_modes import FakeValues, RealValues, Values

__all__ = ["TensorMeta", "Trace", "Tracer", "Untraceable", "trace"]

DIFFERS = (
    "gives something else by itself than while it is traced ({}): forward needs to do the same "
    "each time that it runs on the same inputs"
)
FLOAT64 = (
    "is computed in float64, and Caffe computes in float32, where {}: write it so that float32 is "
    "enough"
)
UNSEEN = (
    "writes {} where torch does not see it (numpy, data_ptr): write it with torch functions, or "
    "before the export"
)
HIDDEN = "is an output whose tensors can not be found: return tensors in tuples, lists or dicts"
NO_OUTPUTS = "needs tensors that forward returns (in tuples, lists or dicts), got none in {}"


@dataclass(frozen=True)
class Trace:
    """Holds a traced model: a flat functional graph and the names of its inputs and outputs.

    `returned` holds for each module path the names of the nodes that each of its calls returned.
    `sizes` tells how the run depended on sizes.
    """

    module: GraphModule
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    rebuild: Callable[[Sequence[Any]], Any]
    returned: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    sizes: SizeUse = field(default_factory=lambda: SizeUse(are_asked=True))


def trace(
    model: nn.Module | Callable[..., Any],
    example_inputs: Any,
    *,
    leaf_modules: Sequence[type[nn.Module]] = (),
    leaf_functions: Sequence[Callable[..., Any]] = (),
    values: Literal["real", "fake"] = "real",
    outputs: Sequence[str] | None = None,
    is_expanded: Callable[[nn.Module], bool] = lambda module: False,
    held_to_model: bool = False,
    reach: Reach | None = None,
    replaced: Replaced = frozenset(),
) -> Trace:
    """Run `model` once on `example_inputs` and return its graph.

    The graph's functions are canonical (`functions/canonical.py`), none of them writes, and every
    node has meta["origin"] and meta["value"]. The model is not changed in any way. Modules of
    `leaf_modules`, but for those that `is_expanded` selects, and calls of `leaf_functions` become
    one node each. With `values="fake"` nothing is computed on traced values. `outputs` names cut
    points in place of the model's own outputs: module paths ("layer3" for its last call,
    "layer3:0" for its first) or nodes. With `held_to_model` the model runs once more by itself:
    where the graph gives something else, or the memory of the model has changed, it is refused.
    Several traces of one model may share its `reach`, if ALONE is held from then to the last.
    Where forward names a precision of `replaced`, it gets float32.

    Raises Untraceable, with all that was found, where the run can not be a graph, and CaffeError
    with the user's line, whose cause is the error itself, where forward fails.
    """
    model_inputs.check_model(model)
    args, kwargs = model_inputs.as_inputs(model, example_inputs)
    names = model_inputs.input_names(model, args, kwargs)
    flat = pytree.flatten((args, kwargs))
    leaves = Leaves(tuple(leaf_modules), frozenset(leaf_functions), is_expanded)
    with ALONE:
        reach = Reach(model) if reach is None else reach
        tracer = Tracer(reach, flat.tensors, leaves, values, outputs, replaced)
        before = checksums(tracer.original.tensors) if held_to_model else {}
        result = tracer.run(flat, names)
        if tracer.guard.known.doubtful:
            tracer = Tracer(reach, flat.tensors, leaves, values, outputs, replaced, True)
            result = tracer.run(flat, names)
        if held_to_model:
            tracer.hold(result, partial(Original, reach), flat, before)
    return result


@dataclass(frozen=True)
class Leaves:
    """Selects the modules and functions whose calls become one node each."""

    modules: tuple[type[nn.Module], ...]
    functions: frozenset[Callable[..., Any]]
    is_expanded: Callable[[nn.Module], bool]

    def of(self, root: nn.Module) -> list[tuple[str, nn.Module]]:
        """Return the leaf modules inside `root` with their paths."""
        named = root.named_modules()
        leaves = [(path, module) for path, module in named if isinstance(module, self.modules)]
        return [(path, module) for path, module in leaves if not self.is_expanded(module)]


class Untraceable(UnsupportedError):
    """Raised for a run that can not be a graph; `recorded` is the trace up to its end."""

    def __init__(self, refusals: Iterable[Refusal], recorded: Trace) -> None:
        super().__init__(refusals)
        self.recorded = recorded


class Tracer:
    """Runs a model once on values, and makes a graph of its torch calls."""

    def __init__(
        self,
        reach: Reach,
        inputs: Sequence[Tensor],
        leaves: Leaves,
        values: Literal["real", "fake"],
        outputs: Sequence[str] | None,
        replaced: Replaced,
        everything_known: bool = False,
    ) -> None:
        device = inputs[0].device if inputs else torch.device("cpu")
        self._leaves, self._outputs, self._replaced = leaves, outputs, replaced
        self.original = Original(reach)
        self._values: Values = FakeValues(device) if values == "fake" else RealValues()
        self._returned = ModuleResults(self.original.root, self._traced_node, outputs)
        self._path = ModulePath(self.original.root)
        self._log = RefusalLog(self._path)
        self._sizes = SizeUse()
        self._ended: tuple[Node, ...] | None = None  # the outputs of a run with refusals
        known = Known(self.original.tensors, everything_known)
        self._builder = GraphBuilder(self.original, self._values, self._log, known)
        owns = self._builder.table.owns
        self.guard = guard_class()(owns, self.original, self._log.refuse, known)

    def run(self, flat: pytree.Flat, names: tuple[str, ...]) -> Trace:
        """Run the model on copies of the inputs and return the graph of its torch calls.

        Raises Untraceable with all refusals, and CaffeError where forward fails.
        """
        # Views of another layout in memory need not be views in that of a larger batch.
        self._sizes.are_asked = not all(tensor.is_contiguous() for tensor in flat.tensors)
        try:
            with torch.no_grad(), self._log.refusing(), self.original.protected():
                given = [self._values.enter(tensor) for tensor in flat.tensors]
                for tensor, name in zip(given, names, strict=True):
                    self._builder.input(name, tensor)
                output = self._forward(*flat.rebuild(given))
                return self._finish(output, names)
        except UnsupportedError as error:
            recorded = Trace(self._builder.recorded(self._ended), names, (), list)
            raise Untraceable(error.refusals, recorded) from error.__cause__

    def hold(
        self,
        result: Trace,
        again: Callable[[], Original],
        flat: pytree.Flat,
        before: dict[int, int],
    ) -> None:
        """Raise UnsupportedError if the graph gives something else than the model by itself.

        `again` makes the model for a run of its own; `before` holds the checksums of its memory.
        """
        with self._log.refusing():
            own = None if self._sizes.are_asked else self._own_by_one_more(result, again, flat)
            if own is None:
                self._sizes.are_asked = True
                own = self._own(again(), flat, flat.tensors)
                difference = first_difference(result.module, flat.tensors, own)
                if difference:
                    self._log.refuse(type(self.original.root).__name__, DIFFERS.format(difference))
            lost = lost_in_float32(result.module, flat.tensors, own)
            if lost is not None:
                node, difference = lost
                self._log.refuse_node(node, FLOAT64.format(difference))
            if checksums(self.original.tensors) != before:
                self._log.refuse("forward", UNSEEN.format("memory of the model"))

    def _own_by_one_more(
        self, result: Trace, again: Callable[[], Original], flat: pytree.Flat
    ) -> list[Tensor | None] | None:
        """Return the model's own outputs, taken from a run with one sample more than the example.

        None where they are not the graph's: the model knows its sizes in a way that does not show
        (in another thread, where torch functions are disabled), or does not take more samples.
        """
        samples = len(flat.tensors[0]) if flat.tensors and flat.tensors[0].dim() else 0
        try:
            more = self._own(again(), flat, with_more(flat.tensors, 1)) if samples else []
        except Exception:  # whatever the model's own checks raise
            return None
        own = without_the_first(more, samples) if samples else None
        if own is None or first_difference(result.module, flat.tensors, own):
            return None
        return own

    def _own(
        self, again: Original, flat: pytree.Flat, inputs: Sequence[Tensor]
    ) -> list[Tensor | None]:
        """Return the outputs of a run of the model by itself, or the results of its cut points."""
        again.move_as(self.original)
        calls = None if self._outputs is None else self._returned.wanted_calls()
        with asked_in_float32(self._replaced):
            return own_outputs(again, calls, *flat.rebuild([v.detach().clone() for v in inputs]))

    def _forward(self, args: Any, kwargs: Any) -> Any:
        """Run the model with everything recorded."""
        before = _random_states()
        with ExitStack() as stack:
            self._mark_leaf_modules()
            for watch in self._watches():
                stack.enter_context(watch)
            try:
                output = self.original.run(*args, **kwargs)
            except EndRun:
                output = None
        if before != _random_states():
            self._log.note("random", RANDOM)
        unseen = self.original.written_unseen()
        if unseen:
            self._log.note("forward", UNSEEN.format(", ".join(unseen)))
        return output

    def _watches(self) -> tuple[AbstractContextManager[Any], ...]:
        """Return the contexts in which the model runs, the outermost first."""
        functions = self._leaves.functions
        recorder = Recorder(
            self._builder,
            self._log,
            self.guard,
            self._values,
            self.original,
            functions,
            self._sizes,
        )
        calls = LeafFunctionCalls(self._builder, self._log, self.guard)
        return (
            exporting(),
            compat.indexing_shown(),
            self._path.follow(self._log.note_thread, self._note_returned),
            self.guard,
            recorder,
            asked_in_float32(self._replaced),
            LeafProfile(functions, calls.enter, calls.leave).follow(),
        )

    def _mark_leaf_modules(self) -> None:
        for path, module in self._leaves.of(self.original.root):
            self._builder.constants.attributes[path] = private_copy(module)
            # The snapshot of the model takes it away again.
            module.forward = LeafForward(LeafCall(path, module))

    def _finish(self, output: Any, names: tuple[str, ...]) -> Trace:
        output_names, nodes, rebuild = self._results(output)
        if self._log:
            self._ended = nodes
            raise self._log.error()
        module = self._builder.module(nodes, type(self.original.root).__name__)
        returned = self._returned.names(self._builder.graph)
        self._sizes.are_asked |= self._builder.drops_calls
        return Trace(module, names, output_names, rebuild, returned, self._sizes)

    def _results(
        self, output: Any
    ) -> tuple[tuple[str, ...], tuple[Node, ...], Callable[[Sequence[Any]], Any]]:
        """Return names and nodes of the outputs, and the function that joins their values."""
        if self._outputs is not None:
            cut = [] if self._log else self._returned.cut(self._builder.graph)
            return tuple(name for name, _ in cut), tuple(node for _, node in cut), as_one(len(cut))
        hidden = pytree.hidden_tensors(output)
        if hidden:
            self._log.refuse(hidden, HIDDEN)
        flat = pytree.flatten(output)
        if not flat.tensors and not self._log:
            self._log.refuse("output", NO_OUTPUTS.format(type(output).__name__))
        nodes = tuple(self._builder.node(tensor) for tensor in flat.tensors)
        return pytree.output_names(flat), nodes, flat.rebuild

    def _note_returned(self, path: str, result: Any) -> None:
        if not self.guard.opaque:
            self._returned.note(path, result)

    def _traced_node(self, tensor: Tensor) -> Node | None:
        """Return the node of a module's result, None for a constant."""
        with torch._C.DisableTorchFunction(), self.guard.calling(None):
            try:
                return self._builder.table.node(tensor)
            except UnseenWrite:
                return None  # reported where the tensor is used, if it is


def _random_states() -> tuple[Any, ...]:
    """Return the states of Python's and NumPy's generators; the guard watches torch's own."""
    state = np.random.get_state(legacy=False)
    assert isinstance(state, dict)
    return random.getstate(), state["state"]["key"].tobytes(), state["state"]["pos"]
