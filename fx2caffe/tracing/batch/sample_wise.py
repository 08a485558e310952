"""Find the batch of a model that asks no sizes, from one trace: shapes alone tell it.

Such a model calls the same functions with the same arguments whatever the batch. If they all work
on one sample after the other, and the batch stays the first axis throughout, then nothing that
another batch could show is left to be traced.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from caffe2fx.layers.layer import RecordModule
from fx2caffe.tracing.tracer import Trace
from fx2caffe.tracing.values.tensor_meta import TensorMeta, map_tensors, meta_of

# None takes a shape among its arguments: the tracer may have filled one in from its operands.
_NAMES = """
abs adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool1d adaptive_max_pool2d add
alpha_dropout amax amin avg_pool1d avg_pool2d avg_pool3d batch_norm cat celu channel_shuffle chunk
clamp conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d div dropout dropout1d
dropout2d dropout3d elu embedding exp feature_alpha_dropout flatten gelu glu group_norm hardshrink
hardsigmoid hardswish hardtanh instance_norm interpolate layer_norm leaky_relu linear
local_response_norm log log_softmax logsigmoid lp_pool1d lp_pool2d matmul max_pool1d max_pool2d
max_pool3d maximum mean minimum mish mul neg normalize pad permute pixel_shuffle pixel_unshuffle pow
prelu reciprocal relu relu6 rms_norm rrelu rsqrt selu sigmoid silu softmax softmin softplus
softshrink softsign split sqrt square stack sub sum tanh tanhshrink threshold transpose unsqueeze
upsample
"""
SAMPLE_WISE = frozenset({operator.getitem}) | {
    getattr(home, name) for home in (F, torch) for name in _NAMES.split() if hasattr(home, name)
}


def one_sample_more(first: Trace, inputs: Sequence[Tensor], more: int) -> dict[str, Any] | None:
    """Return the TensorMeta of each node's result for one sample more, by the node's name.

    `inputs` have `more` samples than the example; their data are not read. None where the model
    asks sizes, calls functions that are neither of SAMPLE_WISE nor layers of Caffe, does not take
    such inputs, or has a result that does not grow with an operand.
    """
    nodes = first.module.graph.nodes
    called = [node for node in nodes if node.op not in ("placeholder", "get_attr", "output")]
    functions = {node: _function(first.module, node) for node in called}
    if first.sizes.are_asked or None in functions.values():
        return None
    try:
        shapes = _Shapes(first.module, functions).of(inputs)
    except Exception:  # whatever torch raises for a size that does not fit
        return None
    if not all(_fits(*pair, shapes) for pair in first.sizes.overwritten):
        return None
    samples = len(inputs[0]) - more, len(inputs[0])
    found = {node: _grown(node.meta["value"], many, samples) for node, many in shapes.items()}
    growing = {node for node, meta in found.items() if meta != node.meta["value"]}
    goes_on = all(node in growing or growing.isdisjoint(node.all_input_nodes) for node in called)
    return {node.name: meta for node, meta in found.items()} if goes_on else None


def _function(module: fx.GraphModule, node: fx.Node) -> Callable[..., Any] | None:
    """Return the function that a node calls, if its shapes follow from those of its operands."""
    if node.op == "call_module":
        leaf = module.get_submodule(str(node.target))
        return leaf.without_data if isinstance(leaf, RecordModule) else None
    function: Any = node.target
    return function if function in SAMPLE_WISE else None


def _fits(before: fx.Node, after: fx.Node, found: dict[fx.Node, Any]) -> bool:
    """Return whether a tensor, if it is used at all, takes what was written into it."""
    if after not in found:
        return True
    return before in found and found[before].shape == found[after].shape


class _Shapes:
    """Runs a graph on meta tensors, each kind of call once."""

    def __init__(self, module: fx.GraphModule, functions: Mapping[fx.Node, Any]) -> None:
        self._module, self._functions = module, functions
        self._results: dict[str, Any] = {}  # by function and arguments
        self._values: dict[fx.Node, Any] = {}

    def of(self, inputs: Sequence[Tensor]) -> dict[fx.Node, Any]:
        """Return meta_of each node's result."""
        given = iter(inputs)
        for node in self._module.graph.nodes:
            if node.op == "placeholder":
                self._values[node] = torch.empty_like(next(given), device="meta")
            elif node.op == "get_attr":
                constant = attrgetter(str(node.target))(self._module)
                self._values[node] = torch.empty_like(constant, device="meta")
            elif node.op != "output":
                self._values[node] = self._called(node)
        return {node: meta_of(value) for node, value in self._values.items()}

    def _called(self, node: fx.Node) -> Any:
        """Return the result of a call; None for a layer that has none for these shapes."""
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), self._values.__getitem__)
        key = repr((node.target, map_tensors((args, kwargs), _described)))
        if key not in self._results:
            self._results[key] = self._functions[node](*args, **kwargs)
        return self._results[key]


def _described(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.dtype, tuple(tensor.shape), tensor.stride()


def _grown(one: Any, many: Any, samples: tuple[int, int]) -> Any:
    """Return the TensorMeta of a result with one sample more, by those of both `samples`.

    None where it has neither the same shape nor all samples, and no others, along its first axis:
    whether the parts of a batch overlap in memory depends on its size.
    """
    if isinstance(one, TensorMeta) and isinstance(many, TensorMeta):
        if one.shape == many.shape:
            return one
        each = one.shape[1:]
        is_longer = (one.shape, many.shape) == tuple((count, *each) for count in samples)
        return TensorMeta((samples[0] + 1, *each), one.dtype) if is_longer else None
    if isinstance(one, tuple | list) and type(one) is type(many) and len(one) == len(many):
        items = [_grown(a, b, samples) for a, b in zip(one, many, strict=True)]
        return None if None in items else type(one)(items)
    return None
