"""Calls on complex values, which have handlers of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fx2caffe.ir.symbol import Refused
from fx2caffe.lowering.registry import H, Handler, registering

_HANDLERS: dict[Any, Handler] = {}

REAL = "needs real numbers, got complex ones: take z.real and z.imag, or torch.view_as_real(z)"


def handles_complex(*targets: Any) -> Callable[[H], H]:
    """Register a handler for calls that have something complex among their arguments.

    It takes what `fx2caffe.lowering.registry.handles` states, and a ComplexPair for each traced
    complex tensor. It returns symbols and pairs.
    """
    return registering(_HANDLERS, targets)


def complex_handler(target: Any) -> Handler:
    """Return the handler of a function's calls on complex values. Raises Refused without one."""
    if target not in _HANDLERS:
        raise Refused(REAL)
    return _HANDLERS[target]


def complex_handlers() -> dict[Any, Handler]:
    """Return all handlers of calls on complex values, by function."""
    return dict(_HANDLERS)
