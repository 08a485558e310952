"""One run of a model's forward becomes a flat, functional torch.fx graph."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
import torch.fx
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.overrides import handle_torch_function

from fx2caffe.tracing import model_inputs, pytree
from fx2caffe.tracing.aliasing import UnseenWrite, version
from fx2caffe.tracing.cut_points import AllOutputsSeen, ModuleResults, as_one
from fx2caffe.tracing.dispatch_guard import RANDOM, Guard, Known
from fx2caffe.tracing.export_flags import exporting
from fx2caffe.tracing.fidelity import checksums, first_difference, own_outputs
from fx2caffe.tracing.graph_builder import GraphBuilder
from fx2caffe.tracing.leaf_call import LeafCall
from fx2caffe.tracing.leaf_functions import LeafProfile, bound_arguments
from fx2caffe.tracing.module_calls import ModulePath
from fx2caffe.tracing.original import ALONE, Original, private_copy
from fx2caffe.tracing.recorder import Recorder
from fx2caffe.tracing.refusal_log import RefusalLog
from fx2caffe.tracing.tensor_meta import TensorMeta, meta_of, tensors_in
from fx2caffe.tracing.value_modes import FakeValues, RealValues, Values

__all__ = ["TensorMeta", "Trace", "Tracer", "trace"]

DIFFERS = (
    "gives something else by itself than while it is traced ({}): forward needs to do the same "
    "each time that it runs on the same inputs"
)
UNSEEN = (
    "writes {} where torch does not see it (numpy, data_ptr): write it with torch functions, or "
    "before the export"
)
HIDDEN = "is an output whose tensors can not be found: return tensors in tuples, lists or dicts"
NO_OUTPUTS = "needs tensors that forward returns (in tuples, lists or dicts), got none in {}"


@dataclass(frozen=True)
class Trace:
    """A model as a flat functional graph, with what its inputs and outputs are called.

    `returned` says for each module path which nodes each of its calls returned.
    """

    module: GraphModule
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    rebuild: Callable[[Sequence[Any]], Any]
    returned: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)


def trace(
    model: nn.Module | Callable[..., Any],
    example_inputs: Any,
    *,
    leaf_modules: Sequence[type[nn.Module]] = (),
    leaf_functions: Sequence[Callable[..., Any]] = (),
    values: Literal["real", "fake"] = "real",
    outputs: Sequence[str] | None = None,
    taken_apart: Callable[[nn.Module], bool] = lambda module: False,
    held_to_model: bool = False,
) -> Trace:
    """Run `model` once on `example_inputs` and return its graph.

    The graph's functions are canonical (fx2caffe.tracing.canonical), none of them writes, and every
    node has meta["origin"] and meta["value"]. The model is not changed in any way. Modules of
    `leaf_modules`, but for those to be `taken_apart`, and calls of `leaf_functions` become one
    node each. With `values="fake"` nothing is computed on traced values. `outputs` names cut
    points in place of the model's own outputs: module paths ("layer3" for its last call,
    "layer3:0" for its first) or nodes. With `held_to_model` the model runs once more by itself:
    where the graph gives something else, or the memory of the model has changed, it is refused.

    Raises UnsupportedError, with all that was found, where the run can not be a graph, and
    CaffeError with the user's line, whose cause is the error itself, where forward fails.
    """
    tracer = Tracer(leaf_modules, leaf_functions, values, outputs, taken_apart)
    tracer.held_to_model = held_to_model
    return tracer.trace(model, example_inputs)


class Tracer:
    """Runs the model on values, and makes a graph of its torch calls."""

    result: Trace
    original: Original
    returned: ModuleResults
    guard: Guard
    values: Values

    def __init__(
        self,
        leaf_modules: Sequence[type[nn.Module]] = (),
        leaf_functions: Sequence[Callable[..., Any]] = (),
        values: Literal["real", "fake"] = "real",
        outputs: Sequence[str] | None = None,
        taken_apart: Callable[[nn.Module], bool] = lambda module: False,
    ) -> None:
        self._taken_apart = taken_apart
        self._outputs = outputs
        self.leaf_modules = tuple(leaf_modules)
        self.leaf_functions = frozenset(leaf_functions)
        self._kind = values
        self.held_to_model = False
        self._leaf: tuple[Any, list[tuple[Tensor, int]]] | None = None

    def trace(self, root: Any, example_inputs: Any) -> Trace:
        """Return the graph of `root` run on its example inputs."""
        model_inputs.check_model(root)
        args, kwargs = model_inputs.as_inputs(root, example_inputs)
        names = model_inputs.input_names(root, args, kwargs)
        with ALONE:
            self._attempt(root, args, kwargs, names, everything=False)
            if self.guard.known.doubtful:
                self._attempt(root, args, kwargs, names, everything=True)
            if self.held_to_model:
                self._hold(root, args, kwargs)
        return self.result

    def _hold(self, root: Any, args: Any, kwargs: Any) -> None:
        """Refuse a graph that gives something else than the model does by itself."""
        flat = pytree.flatten((args, kwargs))
        again = Original(root)
        again.move_as(self.original)
        calls = None if self._outputs is None else self.returned.wanted_calls()
        with self.log.refusing():
            given = flat.rebuild([tensor.detach().clone() for tensor in flat.tensors])
            own = own_outputs(again, calls, *given)
            difference = first_difference(self.result.module, flat.tensors, own)
            if difference:
                self.log.refuse(type(self.root).__name__, DIFFERS.format(difference))
            if checksums(again.tensors) != self._sums:
                self.log.refuse("forward", UNSEEN.format("memory of the model"))

    def _attempt(
        self, root: Any, args: Any, kwargs: Any, names: tuple[str, ...], everything: bool
    ) -> None:
        flat = pytree.flatten((args, kwargs))
        self.original = Original(root)
        if self.held_to_model and not everything:
            self._sums = checksums(self.original.tensors)
        self._prepare(flat.tensors, everything)
        with torch.no_grad(), self.log.refusing(), self.original.protected():
            given = [self.values.enter(tensor) for tensor in flat.tensors]
            for tensor, name in zip(given, names, strict=True):
                self.builder.input(name, tensor)
            output = self._forward(*flat.rebuild(given))
            self.result = self._finish(output, names)

    def _prepare(self, inputs: Sequence[Tensor], everything: bool) -> None:
        device = inputs[0].device if inputs else torch.device("cpu")
        self.values = FakeValues(device) if self._kind == "fake" else RealValues()
        self.root = self.original.root
        self.returned = ModuleResults(self.root, self._traced_node, self._outputs)
        self.path = ModulePath(self.root)
        self.log = RefusalLog(self.path)
        known = Known(self.original.tensors, everything)
        self.builder = GraphBuilder(self.original, self.values, self.log, known)
        self.guard = Guard(self.builder.table.owns, self.original, self.log.refuse, known)
        self.recorder = Recorder(
            self.builder, self.log, self.guard, self.values, self.original, self.leaf_functions
        )

    def _forward(self, args: Any, kwargs: Any) -> Any:
        """Run the model with everything recorded."""
        before = _random_states()
        leaves = LeafProfile(self.leaf_functions, self._enter_leaf, self._leave_leaf)
        with ExitStack() as stack:
            self._mark_leaf_modules()
            stack.enter_context(exporting())
            stack.enter_context(self.path.follow(self.log.note_thread, self._note_returned))
            stack.enter_context(self.guard)
            stack.enter_context(self.recorder)
            stack.enter_context(leaves.follow())
            try:
                output = self.original.run(*args, **kwargs)
            except AllOutputsSeen:
                output = None
        if before != _random_states():
            self.log.note("random", RANDOM)
        unseen = self.original.written_unseen()
        if unseen:
            self.log.note("forward", UNSEEN.format(", ".join(unseen)))
        return output

    def _finish(self, output: Any, names: tuple[str, ...]) -> Trace:
        output_names, nodes, rebuild = self._results(output)
        if self.log:
            raise self.log.error()
        module = self.builder.module(nodes, type(self.root).__name__)
        returned = self.returned.names(self.builder.graph)
        return Trace(module, names, output_names, rebuild, returned)

    def _results(
        self, output: Any
    ) -> tuple[tuple[str, ...], tuple[Node, ...], Callable[[Sequence[Any]], Any]]:
        """Names and nodes of the outputs, and what puts results in their place."""
        if self._outputs is not None:
            cut = [] if self.log else self.returned.cut(self.builder.graph)
            return tuple(name for name, _ in cut), tuple(node for _, node in cut), as_one(len(cut))
        hidden = pytree.hidden_tensors(output)
        if hidden:
            self.log.refuse(hidden, HIDDEN)
        flat = pytree.flatten(output)
        if not flat.tensors and not self.log:
            self.log.refuse("output", NO_OUTPUTS.format(type(output).__name__))
        nodes = tuple(self.builder.node(tensor) for tensor in flat.tensors)
        return pytree.output_names(flat), nodes, flat.rebuild

    def _note_returned(self, path: str, result: Any) -> None:
        if not self.guard.opaque:
            self.returned.note(path, result)

    def _traced_node(self, tensor: Tensor) -> Node | None:
        """The node of what a module returned, None for a constant."""
        with torch._C.DisableTorchFunction(), self.guard.calling(None):
            try:
                return self.builder.table.node(tensor)
            except UnseenWrite:
                return None  # told where the tensor is used, if it is

    # Leaves

    def _mark_leaf_modules(self) -> None:
        for path, module in self.root.named_modules():
            if not isinstance(module, self.leaf_modules or ()) or self._taken_apart(module):
                continue
            self.builder.constants.attributes[path] = private_copy(module)
            # The snapshot of the model takes it away again.
            module.forward = _Dispatch(LeafCall(path, module))

    def _enter_leaf(self, function: Callable[..., Any], values: dict[str, Any]) -> None:
        """A leaf function begins: until it ends nothing is recorded."""
        args, kwargs = bound_arguments(function, values)
        with torch._C.DisableTorchFunction():
            operands = tensors_in((args, kwargs))
            self._leaf = None
            if any(self.builder.table.owns(tensor) for tensor in operands):
                self.guard.opaque = True
                inputs = self.builder.create_arg((args, kwargs))
                self._leaf = inputs, [(t, version(t)) for t in operands]

    def _leave_leaf(self, function: Callable[..., Any], result: Any) -> None:
        if self._leaf is None:
            return
        inputs, operands = self._leaf
        with torch._C.DisableTorchFunction():
            if any(version(tensor) != before for tensor, before in operands):
                self.log.refuse(function.__name__, "writes its arguments")
            self.builder.bind(result, self.builder.emit(function, inputs, meta_of(result)))
            self.guard.opaque = False


class _Dispatch:
    """A forward that hands itself to the function mode, as torch's own functions do.

    Other threads that run the model at this time run the module's own forward.
    """

    def __init__(self, call: LeafCall) -> None:
        self._call = call
        self._thread = threading.get_ident()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != self._thread:
            return self._call(*args, **kwargs)
        return handle_torch_function(self._call, (), *args, **kwargs)


def _random_states() -> tuple[Any, ...]:
    """Python's and NumPy's generators; torch's are watched operator by operator."""
    state = np.random.get_state(legacy=False)
    assert isinstance(state, dict)
    return random.getstate(), state["state"]["key"].tobytes(), state["state"]["pos"]
