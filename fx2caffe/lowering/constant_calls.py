"""Calls on constants, computed at export, and constants that handlers need as layers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from fx2caffe.ir.constants import as_symbol
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Refused, Symbol


def reads_constants_alone(node: fx.Node, values: Mapping[fx.Node, Any]) -> bool:
    """Return whether every tensor that a node reads was lowered to a constant."""
    sources = node.all_input_nodes
    return bool(sources) and all(_is_constant(values[source]) for source in sources)


def _is_constant(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return bool(value) and all(map(_is_constant, value))
    return isinstance(value, Tensor)


def computed(node: fx.Node, values: Mapping[fx.Node, Any], root: nn.Module) -> Any:
    """Return a node's result on its constants, in torch's dtypes. Raises Refused if torch fails."""

    def typed(source: fx.Node) -> Any:
        return _typed(values[source], source.meta.get("value"))

    args, kwargs = fx.node.map_arg((node.args, node.kwargs), typed)
    target = node.target
    function: Any = root.get_submodule(str(target)) if node.op == "call_module" else target
    try:
        with torch.no_grad():
            return function(*args, **kwargs)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise Refused(f"needs constants on which it runs, got torch: {error}") from error


def _typed(value: Any, meta: Any) -> Any:
    if isinstance(value, Tensor):
        dtype = getattr(meta, "dtype", value.dtype)
        return value.to(dtype)
    return type(value)(map(_typed, value, meta if isinstance(meta, tuple | list) else value))


def with_symbols(
    net: Emitter, handler: Callable[..., Any], bound: inspect.BoundArguments
) -> inspect.BoundArguments:
    """Turn constants into layers where the handler's parameter is annotated as a Symbol."""
    parameters = inspect.signature(handler).parameters
    for name, value in bound.arguments.items():
        if isinstance(value, Tensor) and parameters[name].annotation in ("Symbol", Symbol):
            bound.arguments[name] = as_symbol(net, value, suffix=name)
    return bound
