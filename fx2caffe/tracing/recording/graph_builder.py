"""GraphBuilder makes the nodes of a traced graph and keeps its constants."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.fx
from torch import Tensor
from torch.fx import GraphModule, Node

from caffe2fx import compat
from caffe2fx.generated_source import forget_with
from fx2caffe.ir.graph_functions import index_map, of_each_sample, sample_map
from fx2caffe.tracing.model import model_inputs
from fx2caffe.tracing.model.original import Original
from fx2caffe.tracing.recording.constants import Constants
from fx2caffe.tracing.recording.dispatch_guard import Known
from fx2caffe.tracing.recording.leaf_call import LeafCall
from fx2caffe.tracing.recording.refusal_log import RefusalLog
from fx2caffe.tracing.values.aliasing import Table, storage_key
from fx2caffe.tracing.values.tensor_meta import TensorMeta, meta_of, tensors_in
from fx2caffe.tracing.values.value_modes import FakeValues, Values

NO_STORAGE = "gives a tensor that is not dense"
PACKED = "holds packed weights (quantization, TorchScript): export the float model it was made of"
UNKNOWN = (
    "uses a tensor that is made where the tracer can not see it, such as another thread or DLPack"
)

ATOMS = frozenset({int, float, bool, str, type(None), torch.dtype, torch.device, Node})


class GraphBuilder(torch.fx.Tracer):
    """Makes the nodes of a graph, each with its origin and the shapes of its result.

    `table` knows the node of each traced tensor, `constants` the get_attr nodes of
    all others; a tensor that is neither traced nor `known` is refused.
    """

    graph: torch.fx.Graph

    def __init__(self, original: Original, values: Values, log: RefusalLog, known: Known) -> None:
        super().__init__()
        self.root = original.root
        self.graph = torch.fx.Graph()
        self.table = Table(self._index_map)
        self.constants = Constants(original, self._attribute)
        self._values, self._log, self._known = values, log, known
        self.refused_operands: list[Node] = []  # operands of calls whose results are unknown
        self.drops_calls = False  # whether calls were dropped that may fail at other sizes
        self.refuse_as_blob: Callable[[Tensor], None] = lambda tensor: None

    def input(self, name: str, tensor: Tensor) -> None:
        """Add the placeholder of a tensor that forward is given."""
        node = self.create_node("placeholder", name, (), {}, name)
        meta = TensorMeta(tuple(tensor.shape), tensor.dtype)
        self.table.bind(tensor, self._describe(node, meta))

    def emit(self, target: Callable[..., Any], inputs: tuple[Any, Any], meta: Any) -> Node:
        """Add a call of `target` on `inputs` (args, kwargs), whose result is like `meta`."""
        args, kwargs = inputs
        if isinstance(target, LeafCall):
            return self._describe(self.create_node("call_module", target.path, args, kwargs), meta)
        return self._describe(self.create_node("call_function", target, args, kwargs), meta)

    def item(self, node: Node, key: Any, meta: Any) -> Node:
        """Add the node that takes one result out of the several of `node`."""
        return self.emit(operator.getitem, ((node, key), {}), meta)

    def cast(self, node: Node, have: TensorMeta, want: TensorMeta) -> Node:
        """Emit the dtype and shape of the tensor that `node` is written into; return its node."""
        if have.dtype != want.dtype:
            meta = TensorMeta(have.shape, want.dtype)
            node = self.emit(Tensor.to, ((node, want.dtype), {}), meta)
        if have.shape != want.shape:
            node = self.emit(Tensor.expand, ((node, want.shape), {}), want)
        return node

    def filled(self, like: TensorMeta, value: Any, target: Tensor) -> Node:
        """Return the constant node of a tensor that was filled with `value`."""
        device = self._values.device(target)
        return self.constants.node(torch.full(like.shape, value, dtype=like.dtype, device=device))

    def create_arg(self, a: Any) -> Any:
        """Replace the tensors in an argument by nodes; torch.fx's own rules hold for the rest."""
        # Nearly all are of these types, of which torch.fx asks for every type that it knows.
        if type(a) in ATOMS:
            return a
        if isinstance(a, Tensor):
            return self.node(a)
        if type(a) in (tuple, list):
            return type(a)(map(self.create_arg, a))
        if isinstance(a, torch.Size):
            return tuple(a)
        if isinstance(a, np.ndarray):
            return self.constants.node(torch.from_numpy(a))
        if isinstance(a, np.generic):
            return a.item()
        if isinstance(a, torch.ScriptObject):
            self._log.refuse(type(a).__name__, PACKED)
        try:
            return super().create_arg(a)
        except NotImplementedError:
            self._log.refuse(type(a).__name__, "can not be an argument of a graph")

    def node(self, tensor: Tensor) -> Node:
        """Return the node of a tensor's present values, traced or constant.

        `refuse_as_blob` refuses tensors that no blob can hold.
        """
        self.refuse_as_blob(tensor)
        node = self.table.node(tensor)
        if node is not None:
            return node
        if tensor.is_meta or tensor not in self._known or self._is_unseen_alias(tensor):
            self._log.refuse("tensor", UNKNOWN)
        unlike = model_inputs.unlike_a_blob(tensor)
        if unlike and not tensor.is_complex():  # handlers refuse complex constants by name
            self._log.refuse("constant", f"needs {unlike}")
        return self.constants.node(tensor)

    def _is_unseen_alias(self, tensor: Tensor) -> bool:
        """Return whether a tensor is a traced one that came back by way of another program."""
        foreign = storage_key(tensor) and not compat.is_resizable(tensor.untyped_storage())
        return bool(foreign) and self.table.shares_address(tensor)

    def adopt(self, tensor: Tensor) -> None:
        """Make the memory of a constant traced, before a traced value is written into it."""
        storage = tensor.untyped_storage()
        count = storage.nbytes() // tensor.element_size()
        whole = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
        whole.set_(storage, 0, (count,), (1,))
        self._known.add(whole)
        self.table.bind(whole, self.constants.node(whole))
        if isinstance(self._values, FakeValues):
            self.table.share(whole, self._values.shadow(whole))

    def bind(self, result: Any, node: Node) -> None:
        """Register `node`, or an item of it, for each tensor of a call's result."""
        if isinstance(result, Tensor):
            if not result.numel():
                return
            try:
                self.table.bind(result, node)
            except NotImplementedError:
                self._log.refuse(node.name, NO_STORAGE)
        elif isinstance(result, tuple | list | dict):
            items = result.items() if isinstance(result, dict) else enumerate(result)
            for key, item in items:
                if tensors_in(item):
                    self.bind(item, self.item(node, key, meta_of(item)))

    def module(self, outputs: tuple[Node, ...], name: str) -> GraphModule:
        """Return the GraphModule of class `name`, without nodes on which no output depends."""
        self.graph.output(outputs)
        self.drops_calls = _drop_unused(self.graph)
        kept = {n.target for n in self.graph.nodes if n.op in ("get_attr", "call_module")}
        attributes = {k: v for k, v in self.constants.attributes.items() if k in kept}
        module = GraphModule(attributes, self.graph, name)
        forget_with(module)
        module.training = False
        return module

    def recorded(self, outputs: Sequence[Node] | None) -> GraphModule:
        """Return a GraphModule without outputs of the nodes so far, for a run that was refused.

        Of a run that came to its end these are the nodes on which `outputs` or the refused calls
        depend, else all: their readers are not known.
        """
        if outputs is not None:
            self.graph.output((*outputs, *self.refused_operands))
            _drop_unused(self.graph)
            self.graph.erase_node(next(iter(reversed(self.graph.nodes))))
        self.graph.output(())
        module = GraphModule(self.constants.attributes, self.graph)
        forget_with(module)
        return module

    def _describe(self, node: Node, meta: Any) -> Node:
        node.meta["origin"] = self._log.origin()
        node.meta["value"] = meta
        return node

    def _attribute(self, name: str, value: Tensor) -> Node:
        node = self.create_node("get_attr", name, (), {})
        return self._describe(node, TensorMeta(tuple(value.shape), value.dtype))

    def _index_map(self, sources: list[Node], index: Tensor, meta: TensorMeta) -> Node:
        if len(sources) == 1 and _is_whole(index, sources[0]):
            return self.emit(torch.reshape, ((sources[0], meta.shape), {}), meta)
        return self._sample_map(sources, index, meta) or self.emit(
            index_map, ((sources, self._held(index), meta.shape), {}), meta
        )

    def _sample_map(self, sources: list[Node], index: Tensor, meta: TensorMeta) -> Node | None:
        """Add the map of memory that all samples of the first input share; None if they do not."""
        inputs = compat.placeholders(self.graph)
        shape = inputs[0].meta["value"].shape if inputs else ()
        samples = shape[0] if shape else 0
        sizes = [torch.Size(source.meta["value"].shape).numel() for source in sources]
        if not samples or not meta.shape or any(n % samples for n in (*sizes, meta.shape[0])):
            return None
        local = of_each_sample(index, [size // samples for size in sizes], samples)
        if local is None:
            return None
        each = (meta.shape[0] // samples, *meta.shape[1:])
        return self.emit(sample_map, ((sources, self._held(local), each, inputs[0]), {}), meta)

    def _held(self, index: Tensor) -> Node:
        name = self.constants.fresh()
        self.constants.attributes[name] = index
        return self._attribute(name, index)


def _is_whole(index: Tensor, node: Node) -> bool:
    """Return whether an index map only gives the elements of its source another shape."""
    meta = node.meta["value"]
    count = torch.Size(meta.shape).numel()
    return len(index) == count and torch.equal(index, torch.arange(count))


def _drop_unused(graph: torch.fx.Graph) -> bool:
    """Erase the nodes on which no output depends; return whether one may fail at other sizes."""
    may_fail = False
    for node in reversed(graph.nodes):
        if node.op not in ("placeholder", "output") and not node.users:
            may_fail |= node.op != "get_attr" and not _is_item(node)
            graph.erase_node(node)
    return may_fail


def _is_item(node: Node) -> bool:
    """Return whether a node is one of the several results of another."""
    return node.target is operator.getitem and isinstance(node.args[1], int | str)
