"""Find the values that carry the batch: those that differ between two batch sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from caffe2fx.errors import text_of
from caffe2fx.generated_source import forget_with
from caffe2fx.layers.layer import RecordModule
from fx2caffe.errors import UnsupportedError
from fx2caffe.ir.graph_functions import sample_map
from fx2caffe.tracing.batch.graph_pairs import Pair, alone, paired, same_arguments
from fx2caffe.tracing.batch.repeated import Repeated
from fx2caffe.tracing.batch.sample_wise import one_sample_more
from fx2caffe.tracing.model import model_inputs, pytree
from fx2caffe.tracing.tracer import Trace, trace
from fx2caffe.tracing.values.samples import MANY_MORE, with_more

# The result's shape shows all that these take from their arguments.
RESHAPES = frozenset({torch.reshape, torch.flatten, torch.unflatten})
EXPANDS = frozenset({Tensor.expand, torch.broadcast_to})
FOLLOW_SHAPES = RESHAPES | EXPANDS
A_FEW = 3  # samples, where constants for many would take more than
MOST = 1 << 26  # elements
FOR_A_MAP = 16  # elements that a map of memory takes while it is found, for each of its own


@dataclass(frozen=True)
class Batch:
    """Holds each node's result at the other batch size, and the reasons to fix the batch.

    `repeated` are the constants that follow the batch, by the names of their nodes.
    """

    others: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    repeated: Mapping[str, Repeated] = field(default_factory=dict)

    def shape(self, node: fx.Node, extra: int) -> tuple[int, ...]:
        """Return the shape of a node's result for `extra` samples more than the example has."""
        one, two = node.meta["value"].shape, self.others[node.name].shape
        return tuple(a + (b - a) * extra for a, b in zip(one, two, strict=True))


def find_batch(model: nn.Module, example_inputs: Any, first: Trace, **options: Any) -> Batch:
    """Trace once more with one sample more and compare the two graphs node by node.

    A constant that two arguments read becomes two nodes in `first` where it is two in the other.
    Where the model asks no sizes, the shapes of more samples tell as much without a trace.
    """
    found = by_shapes(model, example_inputs, first)
    if found is not None:
        return found
    try:
        second = trace(model, larger(model, example_inputs), **options)
    except Exception as error:  # whatever the model's own checks raise
        return Batch(faults=(_does_not_run(error),))
    found = _compared(first.module, second.module)
    # Constants that grow with the batch, as indices to write to do, would be very large.
    bends = () if found.faults else _bends(model, example_inputs, first, found, options)
    faults = (*found.faults, *bends)
    return replace(
        found, faults=faults or tuple(_breaks(model, example_inputs, found, first, options))
    )


def by_shapes(model: nn.Module, example_inputs: Any, first: Trace) -> Batch | None:
    """Return the batch of a model that works on one sample after the other; else None.

    All has to hold with one sample alone as well, of which functions may take the axis away.
    """
    samples = _samples(model, example_inputs)
    answers: list[dict[str, Any]] = []
    for more in {1 - samples, MANY_MORE} - {0} if samples else ():
        args, kwargs = model_inputs.as_inputs(model, larger(model, example_inputs, more))
        found = one_sample_more(first, pytree.flatten((args, kwargs)).tensors, more)
        if found is None:
            return None
        answers.append(found)
    is_known = answers and answers[0] == answers[-1] and None not in answers[0].values()
    return Batch(answers[0]) if is_known else None


def _bends(
    model: nn.Module, example_inputs: Any, first: Trace, found: Batch, options: dict[str, Any]
) -> list[str]:
    """List the nodes whose shapes do not grow linearly with the batch: `x[:4]`, `if batch > 2`.

    Only shapes and constants are asked, so nothing else is computed; a graph that does not run so
    is run with two samples more.
    """
    more = _more_samples(found, first.module)
    grown = larger(model, example_inputs, more)
    try:
        third = trace(model, grown, **{**options, "values": "fake"}).module
    except Exception:
        return _runs_with_two_more(model, example_inputs, options)
    pairs = paired(first.module.graph, third.graph)
    if pairs is None:
        return ["the model runs other operations with a large batch"]
    return [
        f"{one.name} does not grow with the batch as it began to"
        for one, three in pairs
        if one.name in found.others
        and not result_varies(first.module, one)
        and not _goes_on(one, found, three, third, more)
    ]


def _breaks(
    model: nn.Module, example_inputs: Any, found: Batch, first: Trace, options: dict[str, Any]
) -> list[str]:
    """List what differs with one sample alone, of which `squeeze` takes the axis away.

    A model that does not run so has no results that the net could miss.
    """
    fewer = _samples(model, example_inputs) - 1
    if fewer < 1:
        return []
    try:
        single = trace(
            model, larger(model, example_inputs, -fewer), **{**options, "values": "fake"}
        )
    except Exception:
        return []
    pairs = paired(single.module.graph, first.module.graph, maps_alike=True)
    if pairs is None:
        return ["the model runs other operations with one sample"]
    names = {two: one for one, two in pairs}
    graphs = single.module, first.module
    return [
        f"{two.name} is not with one sample what it is with {fewer + 1}"
        for one, two in pairs
        if not _same_of_one(graphs, (one, two), names, found)
        or not _follows(first.module, found, (two, one), -fewer)
    ]


def _follows(first: fx.GraphModule, found: Batch, pair: Pair, more: int) -> bool:
    """Return whether a node has the shape with `more` samples that its growth implies."""
    known = pair[0].name in found.others and not result_varies(first, pair[0])
    return not known or _on_one_line(pair[0], found, pair[1], more)


def _same_of_one(
    graphs: tuple[fx.GraphModule, fx.GraphModule],
    pair: Pair,
    names: dict[fx.Node, fx.Node],
    found: Batch,
) -> bool:
    """Return whether the node of a single sample calls, or holds, what that of several does."""
    repeated = found.repeated.get(pair[1].name)
    if repeated is not None:
        return repeated.is_repeated_in(_attribute(graphs[0], pair[0]))
    if pair[0].target == pair[1].target or pair[0].op == "get_attr":
        return not _difference(*graphs, pair, names)
    one, two = (
        _attribute(graph, node.args[1])  # type: ignore[arg-type]
        for graph, node in zip(graphs, pair, strict=True)
    )
    return torch.equal(one, two)


def _samples(model: nn.Module, example_inputs: Any) -> int:
    """Return how many samples the example has, by its first input."""
    args, kwargs = model_inputs.as_inputs(model, example_inputs)
    tensors = pytree.flatten((args, kwargs)).tensors
    return tensors[0].shape[0] if tensors and tensors[0].dim() else 0


def _more_samples(found: Batch, first: fx.GraphModule) -> int:
    """Return how many samples more are asked about: fewer where constants follow the batch."""
    elements: int = sum(constant.block.numel() for constant in found.repeated.values())
    maps = [node.args[1] for node in first.graph.nodes if node.target is sample_map]
    held = (_attribute(first, index) for index in maps if isinstance(index, fx.Node))
    elements += sum(FOR_A_MAP * int(index.numel()) for index in held)
    return max(A_FEW, min(MANY_MORE, MOST // max(1, elements)))


def _goes_on(one: fx.Node, found: Batch, three: fx.Node, third: fx.GraphModule, more: int) -> bool:
    if not _on_one_line(one, found, three, more):
        return False
    repeated = found.repeated.get(one.name)
    return repeated is None or repeated.is_repeated_in(_attribute(third, three))


def _runs_with_two_more(
    model: nn.Module, example_inputs: Any, options: dict[str, Any]
) -> list[str]:
    """Return why the model fails with two samples more although one more ran; else empty."""
    try:
        trace(model, larger(model, example_inputs, 2), **options)
    except Exception as error:
        return [_does_not_run(error)]
    return []


def _does_not_run(error: Exception) -> str:
    own = error if isinstance(error, UnsupportedError) else error.__cause__ or error
    return f"the model does not run with another batch: {text_of(own)}"


def result_varies(root: nn.Module, node: fx.Node) -> bool:
    """Return whether element values decide the result's shape, which then shows no batch."""
    module = root.get_submodule(str(node.target)) if node.op == "call_module" else None
    return isinstance(module, RecordModule) and module.layer.has_dynamic_shape


def _on_one_line(one: fx.Node, found: Batch, three: fx.Node, more: int) -> bool:
    first, second = one.meta["value"], found.others[one.name]
    if not all(hasattr(meta, "shape") for meta in (first, second, three.meta["value"])):
        return True
    if len(first.shape) != len(second.shape):
        return False
    return found.shape(one, more) == tuple(three.meta["value"].shape)


def larger(model: nn.Module, example_inputs: Any, more: int = 1) -> Any:
    """Return the example inputs with `more` samples, those that share the first input's batch."""
    args, kwargs = model_inputs.as_inputs(model, example_inputs)
    flat = pytree.flatten((args, kwargs))
    args, kwargs = flat.rebuild(with_more(flat.tensors, more))
    return kwargs if kwargs else args


def _compared(first: fx.GraphModule, second: fx.GraphModule) -> Batch:
    found = paired(first.graph, second.graph)
    if found is None:
        return Batch(faults=("the model runs other operations with another batch",))
    pairs = alone(first.graph, found)
    first.recompile()
    forget_with(first)
    names = {two: one for one, two in pairs}
    faults = {_difference(first, second, pair, names): None for pair in pairs}
    return Batch(
        {one.name: two.meta["value"] for one, two in pairs if "value" in two.meta},
        tuple(fault for fault in faults if fault),
        dict(_repeated(first, second, pairs)),
    )


def _repeated(
    first: fx.GraphModule, second: fx.GraphModule, pairs: list[Pair]
) -> Iterator[tuple[str, Repeated]]:
    """Yield the constants that follow the batch."""
    for one, two in pairs:
        if one.op == "get_attr":
            repeated = Repeated.of(_attribute(first, one), _attribute(second, two))
            if repeated is not None:
                yield one.name, repeated


def _difference(
    first: fx.GraphModule, second: fx.GraphModule, pair: Pair, names: dict[fx.Node, fx.Node]
) -> str:
    one, two = pair
    if one.op == "get_attr":
        constants = _attribute(first, one), _attribute(second, two)
        same = _same_constant(*constants) or Repeated.of(*constants) is not None
        return "" if same else f"constant {one.target} changes with the batch"
    if one.target is torch.roll and _rolls_batch(one, two):
        return f"{one.name} rolls the batch"
    if one.op == "output" or one.target in FOLLOW_SHAPES or same_arguments(one, two, names):
        return ""
    return f"{one.name} has arguments that change with the batch: {_plain(one.args)}"


def _rolls_batch(one: fx.Node, two: fx.Node) -> bool:
    """Return whether torch.roll moves samples.

    A roll by as many indices as there are samples would seem not to.
    """
    dims = one.args[2] if len(one.args) > 2 else one.kwargs.get("dims")
    axes = (dims,) if isinstance(dims, int) else dims
    shapes = one.meta["value"].shape, two.meta["value"].shape
    carrying = [axis for axis, (a, b) in enumerate(zip(*shapes, strict=True)) if a != b]
    if not carrying:
        return False
    return not axes or any(int(axis) % len(shapes[0]) in carrying for axis in axes)  # type: ignore[arg-type, union-attr]


def _same_constant(one: Tensor, two: Tensor) -> bool:
    if one.shape != two.shape:
        return False
    return one.data_ptr() == two.data_ptr() or torch.equal(one, two)


def _attribute(module: fx.GraphModule, node: fx.Node) -> Any:
    owner, _, name = str(node.target).rpartition(".")
    return getattr(module.get_submodule(owner), name)


def _plain(argument: Any) -> str:
    return repr(fx.node.map_arg(argument, lambda node: node.name))
