"""Find what carries the batch: trace at two batch sizes and see what differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from fx2caffe import structure
from fx2caffe.errors import UnsupportedError
from fx2caffe.trace import Trace, trace

# The result's shape says all that these take from their arguments.
FOLLOW_SHAPES = frozenset({torch.reshape, torch.flatten, torch.unflatten})


@dataclass(frozen=True)
class Batch:
    """For each node of a trace its result at the other batch size, and what stands in the way."""

    others: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[str, ...] = ()

    def shape(self, node: fx.Node, extra: int) -> tuple[int, ...]:
        """The result's shape of a node for `extra` samples more than the example has."""
        one, two = node.meta["value"].shape, self.others[node.name].shape
        return tuple(a + (b - a) * extra for a, b in zip(one, two, strict=True))


def find_batch(model: nn.Module, example_inputs: Any, first: Trace, **options: Any) -> Batch:
    """Trace once more with one sample more and compare the two graphs node by node."""
    try:
        second = trace(model, larger(model, example_inputs), **options)
    except (UnsupportedError, RuntimeError, ValueError, IndexError, TypeError) as error:
        return Batch(faults=(f"the model does not run with another batch: {error}",))
    return _compared(first.module, second.module)


def larger(model: nn.Module, example_inputs: Any) -> Any:
    """The example inputs with their first sample once more, where they share the first's batch."""
    args, kwargs = structure.as_inputs(model, example_inputs)
    flat = structure.flatten((args, kwargs))
    batch = flat.tensors[0].shape[:1] if flat.tensors else ()
    grown = [
        torch.cat([value, value[:1]]) if batch and value.shape[:1] == batch else value
        for value in flat.tensors
    ]
    args, kwargs = flat.rebuild(grown)
    return kwargs if kwargs else args


def _compared(first: fx.GraphModule, second: fx.GraphModule) -> Batch:
    ones, twos = list(first.graph.nodes), list(second.graph.nodes)
    if [(n.op, n.target) for n in ones] != [(n.op, n.target) for n in twos]:
        return Batch(faults=("the model runs other operations with another batch",))
    others = {a.name: b.meta["value"] for a, b in zip(ones, twos, strict=True) if "value" in b.meta}
    faults = [
        fault
        for one, two in zip(ones, twos, strict=True)
        if (fault := _difference(first, second, one, two))
    ]
    return Batch(others, tuple(faults))


def _difference(
    first: fx.GraphModule, second: fx.GraphModule, one: fx.Node, two: fx.Node
) -> str:
    if one.op == "get_attr":
        same = _same_constant(_attribute(first, one), _attribute(second, two))
        return "" if same else f"constant {one.target} changes with the batch"
    if one.op == "output" or one.target in FOLLOW_SHAPES:
        return ""
    if _plain(one.args) == _plain(two.args) and _plain(one.kwargs) == _plain(two.kwargs):
        return ""
    return f"{one.name} has arguments that change with the batch: {_plain(one.args)}"


def _same_constant(one: Tensor, two: Tensor) -> bool:
    if one.shape != two.shape:
        return False
    return one.data_ptr() == two.data_ptr() or torch.equal(one, two)


def _attribute(module: fx.GraphModule, node: fx.Node) -> Any:
    owner, _, name = str(node.target).rpartition(".")
    return getattr(module.get_submodule(owner), name)


def _plain(argument: Any) -> str:
    return repr(fx.node.map_arg(argument, lambda node: node.name))

