"""Lowering a traced graph to steps: each torch function's handler is called with its arguments."""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import fx, nn

from caffe2fx.errors import CaffeError
from caffe2fx.layers import Input
from caffe2fx.layers.layer import RecordModule
from caffe2fx.net.step import Step, Value
from caffe2fx.origin import Origin
from fx2caffe.errors import Refusal, Signal, UnsupportedError
from fx2caffe.ir.complex_pair import ComplexPair, has_complex, is_complex
from fx2caffe.ir.constants import as_symbol
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.placeholder import Unsupported
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.lowering.batch_constants import BatchConstants
from fx2caffe.lowering.complex_calls import REAL, complex_handler
from fx2caffe.lowering.constant_calls import computed, reads_constants_alone, with_symbols
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.handler_calls import bound_to
from fx2caffe.lowering.integer_magnitudes import IntegerRanges
from fx2caffe.lowering.integer_range import cast_written, refuse_wrapping
from fx2caffe.lowering.narrow_integers import NARROW, wrapped
from fx2caffe.lowering.refusal_reasons import reason_for
from fx2caffe.lowering.registry import _HANDLERS, Handler, qualified_name
from fx2caffe.tracing.batch.batch_analysis import Batch, result_varies


@dataclass
class Lowered:
    """Holds the result of lowering: wide steps, and the traced node that each value holds."""

    steps: list[Step]
    outputs: list[Symbol]
    symbols: dict[Value, Symbol] = field(default_factory=dict)  # those of the inputs
    nodes: dict[Value, str] = field(default_factory=dict)
    blobs: dict[Value, str] = field(default_factory=dict)  # blob names in the Caffe net
    names: dict[str, str] = field(default_factory=dict)  # the layer name of each traced node


class Lowering:
    """Lowers the traced graph in one pass and collects every refusal before raising."""

    def __init__(
        self,
        graph: fx.Graph,
        root: fx.GraphModule,
        batch: Batch,
        input_names: Mapping[str, str],
        module_names: Mapping[str, str],
        *,
        integers: IntegerRanges,
        placeholders: bool = False,
        tops: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.placeholders = placeholders
        self.tops = tops or {}
        self.integers = integers
        self.graph, self.root, self.others = graph, root, batch.others
        self.input_names = input_names
        self.emitter = Emitter()
        self.following = BatchConstants(self.emitter, batch.repeated, batch.others)
        self.values: dict[fx.Node, Any] = {}
        self.refusals: list[Refusal] = []
        self.inputs: dict[Value, Symbol] = {}
        self.nodes: dict[Value, str] = {}
        self.names = _node_names(graph, module_names)

    def run(self) -> Lowered:
        """Lower every node. Raises UnsupportedError with all refusals."""
        outputs: list[Symbol] = []
        for node in self.graph.nodes:
            if node.op != "output":
                self._lower(node)
            elif not self.refusals:
                self._constants(node)
                outputs = self._outputs(node.args[0])
        if self.refusals:
            raise UnsupportedError(self.refusals)
        names = {node.name: name for node, name in self.names.items()}
        steps = self.emitter.steps
        return Lowered(steps, outputs, self.inputs, self.nodes, self._blobs(), names)

    def _blobs(self) -> dict[Value, str]:
        """Return the blob names of a net that was loaded from Caffe, by the modules of its layers.

        A module that is looked into has one top, which the last of its nodes makes.
        """
        made: dict[str, Any] = {}
        whole = {str(node.target) for node in self.graph.nodes if node.op == "call_module"}
        for node, value in self.values.items():
            path = _origin(node).module
            if node.op == "call_module":
                made[str(node.target)] = value
            elif node.op == "call_function" and path not in whole:
                made[path] = value
        return {
            symbol.value: blob
            for path, blobs in self.tops.items()
            for symbol, blob in zip(_several(made.get(path)), blobs, strict=False)
            if isinstance(symbol, Symbol)
        }

    def _outputs(self, values: Any) -> list[Symbol]:
        """Return the outputs as symbols; constant ones become layers."""
        outputs = []
        for index, value in enumerate(values):
            name = f"output_{index}"
            origin = _origin(value) if isinstance(value, fx.Node) else Origin()
            try:
                with self.emitter.at(name, origin):
                    outputs.append(as_symbol(self.emitter, _real(self._argument(value))))
            except Refused as error:
                self.refusals.append(Refusal(name, str(error), origin))
        return outputs

    def _lower(self, node: fx.Node) -> None:
        try:
            self.values[node] = self._value(node)
        except _ReadsRefused:
            self.values[node] = _REFUSED
        except CaffeError as error:
            refusal = Refusal(_operation(node), str(error), _origin(node))
            self.values[node] = (
                self._insert_placeholder(node, refusal) if self.placeholders else _REFUSED
            )
            if self.values[node] is _REFUSED:
                self.refusals.append(refusal)

    def _insert_placeholder(self, node: fx.Node, refusal: Refusal) -> Any:
        """Return symbols for a refused node's tensors, _REFUSED if it does not give tensors."""
        value = node.meta.get("value")
        results: list[Any] = list(value) if isinstance(value, (tuple, list)) else [value]
        if not all(hasattr(result, "shape") for result in results):
            return _REFUSED
        if self.others:
            self.emitter.fix_batch(f"{self.names[node]} is a placeholder, whose shape is written")
        found = [self.values[source] for source in node.all_input_nodes]
        if has_complex((found, [result.dtype for result in results])):
            return _REFUSED
        shapes = tuple(tuple(result.shape) for result in results)
        layer = Unsupported(op=refusal.op, reason=refusal.reason, shapes=shapes)
        with self.emitter.at(self.names[node], refusal.origin):
            bottoms = [symbol for symbol in found if isinstance(symbol, Symbol)]
            tops = self.emitter.add_many(layer, *bottoms, tops=len(results))
        if isinstance(value, (tuple, list)):
            return tops
        self.nodes.setdefault(tops[0].value, node.name)
        return tops[0]

    def _value(self, node: fx.Node) -> Any:
        self.integers.check(node)
        if node.op == "placeholder":
            return self._input(node)
        if node.op == "get_attr":
            return _attribute(self.root, str(node.target))
        self._constants(node)
        refuse_wrapping(node)
        with self.emitter.at(self.names[node], _origin(node)):
            self._argument((node.args, node.kwargs))
            known = reads_constants_alone(node, self.values)
            result = computed(node, self.values, self.root) if known else self._wrapped(node)
        if not result_varies(self.root, node):
            self._check(node, result)
        return _typed(result, node.meta.get("value"))

    def _constants(self, node: fx.Node) -> None:
        """Give the constants that follow the batch the form in which this node reads them."""
        fewer = self.following.read_by(node)
        for source in filter(self.following.follows, node.all_input_nodes):
            if source in fewer:
                self.values[source] = fewer[source]
            else:
                symbol = self.following.symbol(source)
                self.values[source] = _typed(symbol, source.meta["value"])
                if isinstance(symbol, Symbol):
                    self.nodes.setdefault(symbol.value, source.name)

    def _input(self, node: fx.Node) -> Symbol:
        shape = node.meta["value"].shape
        other = self._other(node).shape
        name = self.emitter.unique(self.input_names[node.name])
        value = Value(name)
        self.emitter.steps.append(Step(name, Input(shape=(shape,)), (), (value,)))
        self.nodes[value] = node.name
        self.inputs[value] = Symbol(value, shape, other, node.meta["value"].dtype)
        self.emitter.inputs.append(self.inputs[value])
        return self.inputs[value]

    def _other(self, node: fx.Node) -> Any:
        return self.others.get(node.name, node.meta["value"])

    def _wrapped(self, node: fx.Node) -> Any:
        """Call a node's handler; narrow integers wrap around as torch's."""
        result, meta = self._call(node), node.meta.get("value")
        if not isinstance(result, Symbol) or getattr(meta, "dtype", None) not in NARROW:
            return result
        magnitude = self.integers.before_wrapping(node)
        return wrapped(self.emitter, node, result, magnitude, _HANDLERS[torch.remainder])

    def _call(self, node: fx.Node) -> Any:
        if node.op == "call_module":
            return self._call_module(node)
        args, kwargs = self._argument(node.args), self._argument(node.kwargs)
        handler = _handler(node.target, (args, kwargs))
        out = Expected(node.meta.get("value"), self._other(node), _read(node))
        bound = bound_to(self.emitter, handler, args, kwargs, out)
        bound = cast_written(self.emitter, node, bound, _HANDLERS[torch.Tensor.to])
        bound = with_symbols(self.emitter, handler, bound)
        return handler(*bound.args, **bound.kwargs)

    def _call_module(self, node: fx.Node) -> Any:
        module = self.root.get_submodule(str(node.target))
        bottoms = self._argument(node.args)
        if has_complex((bottoms, self._argument(node.kwargs))):
            raise Refused(REAL)
        if isinstance(module, RecordModule):
            bottoms = [as_symbol(self.emitter, b, f"bottom{i}") for i, b in enumerate(bottoms)]
            count = len(bottoms) - module.dynamic
            tops = self.emitter.add_many(
                module.layer.unhinted(),
                *bottoms[:count],
                blobs=module.blobs,
                tops=module.tops,
                dynamic=bottoms[count:],
                loss_weight=module.loss_weight,
            )
            return tops[0] if module.tops == 1 else tops
        handler = _HANDLERS.get(type(module))
        if handler is None:
            raise Refused("is kept as a leaf but has no handler")
        return handler(self.emitter, module, *bottoms, **self._argument(node.kwargs))

    def _argument(self, argument: Any) -> Any:
        """Replace every node in an argument by the value that it was lowered to."""
        return fx.node.map_arg(argument, self._lowered)

    def _lowered(self, node: fx.Node) -> Any:
        value = self.values[node]
        if value is _REFUSED:
            raise _ReadsRefused
        return value

    def _check(self, node: fx.Node, result: Any) -> None:
        """Raise Refused, or fix the batch, where the layers give other shapes than torch."""
        expected, other = node.meta.get("value"), self._other(node)
        results = result if isinstance(result, (tuple, list)) else [result]
        wanted = expected if isinstance(expected, (tuple, list)) else [expected]
        others = other if isinstance(other, (tuple, list)) else [other]
        read = _read(node) if isinstance(result, (tuple, list)) else {0}
        triples = zip(results, wanted, others, strict=False)
        for index, (symbol, meta, meta_other) in enumerate(triples):
            if isinstance(symbol, Symbol | ComplexPair) and hasattr(meta, "shape"):
                self._check_one(node, symbol, meta, meta_other)
            elif isinstance(symbol, torch.Tensor) and index in read:
                self._check_constant(node, meta, meta_other)

    def _check_constant(self, node: fx.Node, meta: Any, other: Any) -> None:
        if meta.shape != other.shape:
            self.emitter.fix_batch(f"{self.names[node]} is a constant whose size follows the batch")

    def _check_one(
        self, node: fx.Node, result: Symbol | ComplexPair, meta: Any, other: Any
    ) -> None:
        if is_complex(result) != meta.dtype.is_complex:
            raise Refused(f"needs a result of {meta.dtype}, but its layers give another")
        for part in result.present if isinstance(result, ComplexPair) else (result,):
            self._check_shape(node, part, meta, other)
        if isinstance(result, Symbol) and not isinstance(node.meta["value"], (tuple, list)):
            self.nodes.setdefault(result.value, node.name)

    def _check_shape(self, node: fx.Node, symbol: Symbol, meta: Any, other: Any) -> None:
        if symbol.shape != tuple(meta.shape):
            raise Refused(f"needs result {tuple(meta.shape)}, but its layers give {symbol.shape}")
        if symbol.other_shape != tuple(other.shape):
            self.emitter.fix_batch(
                f"{self.names[node]} gives {tuple(other.shape)} for another batch, "
                f"its layers give {symbol.other_shape}"
            )


class _ReadsRefused(Signal):
    """Raised for a node that reads a refused one, so that the cause is reported once."""


_REFUSED = object()


def _real(output: Any) -> Any:
    """Return an output of the model. Raises Refused for a complex one."""
    if is_complex(output):
        raise Refused(
            "needs real outputs, got a complex one: return torch.view_as_real(z), or z.real and "
            "z.imag"
        )
    return output


def _read(node: fx.Node) -> frozenset[int]:
    items = (user for user in node.users if user.target is operator.getitem and user.users)
    return frozenset(item.args[1] for item in items if isinstance(item.args[1], int))


def _operation(node: fx.Node) -> str:
    return str(node.target) if isinstance(node.target, str) else qualified_name(node.target)


def _origin(node: fx.Node) -> Origin:
    found = node.meta.get("origin", Origin())
    return found if isinstance(found, Origin) else Origin()


def _attribute(root: nn.Module, path: str) -> Any:
    owner, _, name = path.rpartition(".")
    return getattr(root.get_submodule(owner), name)


def _typed(result: Any, meta: Any) -> Any:
    """Return a handler's result with torch's dtypes."""
    if isinstance(result, Symbol):
        return replace(result, dtype=getattr(meta, "dtype", result.dtype))
    if isinstance(result, tuple) and isinstance(meta, (tuple, list)):
        return tuple(_typed(*pair) for pair in zip(result, meta, strict=False))
    return result


def _handler(target: Any, arguments: Any) -> Handler:
    """Return the handler of a call. Raises Refused without one."""
    if has_complex(arguments):
        return complex_handler(target)
    # Operators of other packages are registered by name: "torchvision.roi_align".
    handler = _HANDLERS.get(target) or _HANDLERS.get(str(target))
    if handler is None:
        raise Refused(reason_for(target))
    return handler


def _several(result: Any) -> Sequence[Any]:
    return result if isinstance(result, (tuple, list)) else [result]


def _node_names(graph: fx.Graph, module_names: Mapping[str, str]) -> dict[fx.Node, str]:
    """Return the layer name of each call: its module's path, and the function if it has several."""
    calls = [node for node in graph.nodes if node.op in ("call_function", "call_module")]
    functions: dict[str, set[str]] = defaultdict(set)
    for node in calls:
        functions[_origin(node).module].add(_short(node))
    return {node: _node_name(node, functions, module_names) for node in calls}


def _node_name(
    node: fx.Node, functions: Mapping[str, set[str]], module_names: Mapping[str, str]
) -> str:
    path = str(node.target) if node.op == "call_module" else _origin(node).module
    if path in module_names:
        return module_names[path]
    if node.op == "call_module" or (path and len(functions[path]) == 1):
        return path
    return f"{path}.{_short(node)}" if path else _short(node)


def _short(node: fx.Node) -> str:
    return getattr(node.target, "__name__", str(node.target)).strip("_")
