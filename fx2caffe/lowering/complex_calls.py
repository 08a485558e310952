"""Calls on complex values, which have handlers of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from caffe2fx import compat
from caffe2fx.errors import CaffeError
from fx2caffe.ir.symbol import Refused
from fx2caffe.lowering.registry import Handler, qualified_name

H = TypeVar("H", bound=Handler)
_HANDLERS: dict[Any, Handler] = {}

REAL = "needs real numbers, got complex ones: take z.real and z.imag, or torch.view_as_real(z)"


def handles_complex(*targets: Any) -> Callable[[H], H]:
    """Register a handler for calls that have something complex among their arguments.

    It takes what `fx2caffe.lowering.registry.handles` states, and a ComplexPair for each traced
    complex tensor. It returns symbols and pairs.
    """

    def register(handler: H) -> H:
        for target in filter(None, map(compat.function_of, targets)):
            if target in _HANDLERS:
                raise CaffeError(f"{qualified_name(target)} has two handlers of complex values")
            _HANDLERS[target] = handler
        return handler

    return register


def complex_handler(target: Any) -> Handler:
    """Return the handler of a function's calls on complex values. Raises Refused without one."""
    if target not in _HANDLERS:
        raise Refused(REAL)
    return _HANDLERS[target]


def complex_handlers() -> dict[Any, Handler]:
    """Return all handlers of calls on complex values, by function."""
    return dict(_HANDLERS)
