"""A handler's call with the arguments of a traced one."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Refused
from fx2caffe.lowering.constant_calls import with_symbols
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import Handler


def bound_to(
    net: Emitter, handler: Handler, args: Sequence[Any], kwargs: Mapping[str, Any], out: Expected
) -> inspect.BoundArguments:
    """Bind a traced call's arguments to a handler's parameters, of which `out` is one if it asks.

    Raises Refused for an argument that the handler does not name and that is not at its default.
    """
    named = _named(handler, kwargs)
    if "out" in signature_of(handler).parameters:
        named["out"] = out
    try:
        return signature_of(handler).bind(net, *args, **named)
    except TypeError as error:
        raise Refused(f"needs other arguments: {error}") from None


def called(
    net: Emitter, handler: Handler, args: Sequence[Any], kwargs: Mapping[str, Any], out: Expected
) -> Any:
    """Call a handler with a traced call's arguments."""
    bound = with_symbols(net, handler, bound_to(net, handler, args, kwargs, out))
    return handler(*bound.args, **bound.kwargs)


@cache
def signature_of(handler: Handler) -> inspect.Signature:
    return inspect.signature(handler)


def _named(handler: Handler, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments that the handler names; any other must be at its default."""
    parameters = signature_of(handler).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return dict(kwargs)
    for name, value in kwargs.items():
        if name not in parameters and value is not None and value is not False:
            raise Refused(f"needs {name} at its default, got {value!r}")
    return {name: value for name, value in kwargs.items() if name in parameters}
