"""Traced graph to net: one handler per torch function, called with that function's arguments."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import fx, nn

from caffe2fx.errors import CaffeError
from caffe2fx.layer import Operation
from caffe2fx.layers import Input
from caffe2fx.message import Shape
from caffe2fx.net import Step, Value
from caffe2fx.origin import Origin
from fx2caffe.dtypes import refuse_wrapping
from fx2caffe.emit import Emitter, Refused, Symbol
from fx2caffe.errors import Refusal, UnsupportedError

Handler = Callable[..., Any]
H = TypeVar("H", bound=Handler)
_HANDLERS: dict[Any, Handler] = {}
_USERS: list[Any] = []  # the targets that a user registered


def handles(*targets: Any) -> Callable[[H], H]:
    """Register a handler for torch functions (in the tracer's spelling) or module classes.

    A handler takes the emitter and then exactly the function's own arguments, by the same
    names: a Symbol for a traced tensor, a Tensor for a constant, plain Python otherwise. It
    returns a Symbol, a tuple of them, or a constant; it raises Refused for what it cannot do.
    An argument that it does not name is refused unless it is at its default.
    """

    def register(handler: H) -> H:
        for target in targets:
            if target in _HANDLERS:
                raise CaffeError(f"{spelled(target)} has two handlers")
            _HANDLERS[target] = handler
        return handler

    return register


def register(target: Any) -> Callable[[H], H]:
    """Register a handler for a function or nn.Module class of your own: it becomes a leaf.

    For a function, the handler takes the emitter and the function's own arguments; for a
    module class, the emitter, the module, and the arguments of its forward:

        @fx2caffe.register(MySwish)
        def my_swish(net, module, input):
            return net.add(Eltwise(operation=EltwiseOp.PROD), input, net.add(Sigmoid(), input))
    """

    def decorate(handler: H) -> H:
        _USERS.append(target)
        return handles(target)(handler)

    return decorate


def unregister(target: Any) -> None:
    """Forget a handler that `register` made."""
    _USERS.remove(target)
    del _HANDLERS[target]


def leaves() -> tuple[list[type[nn.Module]], list[Callable[..., Any]]]:
    """The module classes and functions that are kept whole: Caffe's own and the user's."""
    modules = [kind for kind in _USERS if isinstance(kind, type)]
    functions = [function for function in _USERS if not isinstance(function, type)]
    return [Operation, *modules], functions


def handlers() -> Mapping[Any, Handler]:
    """All registered handlers by function or module class."""
    return dict(_HANDLERS)


def spelled(target: Any) -> str:
    """A torch function as a user would write it."""
    name = getattr(target, "__name__", str(target))
    if isinstance(target, type):
        return name
    if getattr(F, name, None) is target:
        return f"F.{name}"
    if getattr(torch, name, None) is target:
        return f"torch.{name}"
    if getattr(torch.Tensor, name, None) is target:
        return f"Tensor.{name}"
    for package in ("fft", "linalg", "special"):
        if name.startswith(f"{package}_"):
            return f"torch.{package}.{name.removeprefix(f'{package}_')}"
    return f"{getattr(target, '__module__', None) or 'torch'}.{name}"


@dataclass
class Lowered:
    """What lowering gives: wide steps, and which traced node each value stands for."""

    steps: list[Step]
    outputs: list[Symbol]
    symbols: dict[Value, Symbol] = field(default_factory=dict)  # of the inputs
    nodes: dict[Value, str] = field(default_factory=dict)
    batch_faults: list[str] = field(default_factory=list)


class Lowering:
    """Walks the traced graph once; collects every refusal before raising."""

    def __init__(
        self,
        graph: fx.Graph,
        root: fx.GraphModule,
        others: Mapping[str, Any],
        input_names: Mapping[str, str],
        module_names: Mapping[str, str],
    ) -> None:
        self.graph, self.root, self.others = graph, root, others
        self.input_names = input_names
        self.emitter = Emitter()
        self.values: dict[fx.Node, Any] = {}
        self.refusals: list[Refusal] = []
        self.inputs: dict[Value, Symbol] = {}
        self.nodes: dict[Value, str] = {}
        self.names = _node_names(graph, module_names)

    def run(self) -> Lowered:
        """Lower every node. Raises UnsupportedError with all refusals."""
        outputs: list[Any] = []
        for node in self.graph.nodes:
            if node.op != "output":
                self._lower(node)
            elif self.refusals:
                raise UnsupportedError(self.refusals)
            else:
                outputs = list(self._argument(node.args[0]))
        return Lowered(
            self.emitter.steps,
            [self._output(output, index) for index, output in enumerate(outputs)],
            self.inputs,
            self.nodes,
            self.emitter.batch_faults,
        )

    def _output(self, output: Any, index: int) -> Symbol:
        if isinstance(output, Symbol):
            return output
        with self.emitter.at(f"output_{index}", Origin()):
            from fx2caffe.ops.constant import as_symbol

            return as_symbol(self.emitter, output)

    def _lower(self, node: fx.Node) -> None:
        try:
            self.values[node] = self._value(node)
        except _Poisoned:
            self.values[node] = _POISON
        except CaffeError as error:
            self.values[node] = _POISON
            self.refusals.append(Refusal(_operation(node), str(error), _origin(node)))

    def _value(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return self._input(node)
        if node.op == "get_attr":
            return _attribute(self.root, str(node.target))
        refuse_wrapping(node)
        with self.emitter.at(self.names[node], _origin(node)):
            result = self._call(node)
        self._check(node, result)
        return result

    def _input(self, node: fx.Node) -> Symbol:
        shape = node.meta["value"].shape
        other = self._other(node).shape
        name = self.emitter.unique(self.input_names[node.name])
        value = Value(name)
        self.emitter.steps.append(Step(name, Input(shape=(shape,)), (), (value,)))
        self.nodes[value] = node.name
        self.inputs[value] = Symbol(value, shape, other, node.meta["value"].dtype)
        return self.inputs[value]

    def _other(self, node: fx.Node) -> Any:
        return self.others.get(node.name, node.meta["value"])

    def _call(self, node: fx.Node) -> Any:
        if node.op == "call_module":
            return self._call_module(node)
        handler = _HANDLERS.get(node.target)
        if handler is None:
            self._argument(node.args), self._argument(node.kwargs)
            raise Refused("needs a handler (see fx2caffe.register): no layers are known for it")
        kwargs = _named(handler, self._argument(node.kwargs))
        if "out" in _signature(handler).parameters:
            kwargs["out"] = Expected(node.meta.get("value"), self._other(node))
        args = self._argument(node.args)
        try:
            _signature(handler).bind(self.emitter, *args, **kwargs)
        except TypeError as error:
            raise Refused(f"needs other arguments: {error}") from None
        return handler(self.emitter, *args, **kwargs)

    def _call_module(self, node: fx.Node) -> Any:
        module = self.root.get_submodule(str(node.target))
        bottoms = self._argument(node.args)
        if isinstance(module, Operation):
            tops = self.emitter.add_many(
                module.layer, *bottoms, blobs=module.blobs, tops=module.tops
            )
            return tops[0] if module.tops == 1 else tops
        handler = _HANDLERS.get(type(module))
        if handler is None:
            raise Refused("is kept as a leaf but has no handler")
        return handler(self.emitter, module, *bottoms, **self._argument(node.kwargs))

    def _argument(self, argument: Any) -> Any:
        """Node arguments with every node replaced by what it was lowered to."""
        return fx.node.map_arg(argument, self._lowered)

    def _lowered(self, node: fx.Node) -> Any:
        value = self.values[node]
        if value is _POISON:
            raise _Poisoned
        return value

    def _check(self, node: fx.Node, result: Any) -> None:
        """Hold the shapes that the layers give against those that torch gave."""
        expected, other = node.meta.get("value"), self._other(node)
        results = result if isinstance(result, (tuple, list)) else [result]
        wanted = expected if isinstance(expected, (tuple, list)) else [expected]
        others = other if isinstance(other, (tuple, list)) else [other]
        for symbol, meta, meta_other in zip(results, wanted, others, strict=False):
            if isinstance(symbol, Symbol) and hasattr(meta, "shape"):
                self._check_one(node, symbol, meta, meta_other)

    def _check_one(self, node: fx.Node, symbol: Symbol, meta: Any, other: Any) -> None:
        if symbol.shape != tuple(meta.shape):
            raise Refused(f"needs result {tuple(meta.shape)}, but its layers give {symbol.shape}")
        if symbol.other != tuple(other.shape):
            self.emitter.batch_faults.append(
                f"{self.names[node]} gives {tuple(other.shape)} for another batch, "
                f"its layers give {symbol.other}"
            )
        if not isinstance(node.meta["value"], (tuple, list)):
            self.nodes.setdefault(symbol.value, node.name)


@dataclass(frozen=True)
class Expected:
    """What torch gave for the node: for handlers that ask for `out`."""

    meta: Any
    other_meta: Any

    @property
    def shape(self) -> Shape:
        """Shape of the (first) result for the example's batch."""
        return tuple(self.meta.shape)

    @property
    def other(self) -> Shape:
        """Shape of the (first) result for the other batch."""
        return tuple(self.other_meta.shape)


class _Poisoned(Exception):
    """An argument was refused already: say nothing twice."""


_POISON = object()


def _operation(node: fx.Node) -> str:
    return str(node.target) if isinstance(node.target, str) else spelled(node.target)


def _origin(node: fx.Node) -> Origin:
    found = node.meta.get("origin", Origin())
    return found if isinstance(found, Origin) else Origin()


def _attribute(root: nn.Module, path: str) -> Any:
    owner, _, name = path.rpartition(".")
    return getattr(root.get_submodule(owner), name)


@cache
def _signature(handler: Handler) -> inspect.Signature:
    return inspect.signature(handler)


def _named(handler: Handler, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments that the handler names; another one must be at its default."""
    parameters = _signature(handler).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return dict(kwargs)
    for name, value in kwargs.items():
        if name not in parameters and value is not None and value is not False:
            raise Refused(f"needs {name} at its default, got {value!r}")
    return {name: value for name, value in kwargs.items() if name in parameters}


def _node_names(graph: fx.Graph, module_names: Mapping[str, str]) -> dict[fx.Node, str]:
    """A name for each call: its module's path, with the function where a module has several."""
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


