"""Leaf functions and the Python functions of torch that the tracer looks into."""

from __future__ import annotations

import inspect
import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch.nn.functional as F
from torch import Tensor


def _never(*_: Any, **__: Any) -> bool:
    return False


# Composite functions that become the operations they are made of.
SEE_THROUGH: frozenset[Callable[..., Any]] = frozenset(
    {
        F.multi_head_attention_forward,
        F.softmin,
        F.softsign,
        F.tanhshrink,
        Tensor.__iter__,
    }
)


@cache
def see_through(function: Callable[..., Any]) -> Callable[..., Any]:
    """A copy of a Python function of torch's that does not hand itself to a function mode."""
    function = inspect.unwrap(function)
    if not isinstance(function, types.FunctionType):
        raise TypeError(f"{function} needs to be a Python function to be seen through")
    space = {
        **function.__globals__,
        "has_torch_function": _never,
        "has_torch_function_unary": _never,
        "has_torch_function_variadic": _never,
    }
    copy = types.FunctionType(
        function.__code__, space, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


class LeafProfile:
    """Notices calls of the user's own leaf functions, wherever they are called from.

    A Python function that torch does not dispatch can be seen neither by a function mode
    nor without changing the user's module; the thread's profile hook sees it begin and end.
    """

    def __init__(
        self,
        functions: Iterable[Callable[..., Any]],
        enter: Callable[[Callable[..., Any], dict[str, Any]], None],
        leave: Callable[[Callable[..., Any], Any], None],
    ) -> None:
        plain = ((inspect.unwrap(function), function) for function in functions)
        self._codes = {f.__code__: g for f, g in plain if isinstance(f, types.FunctionType)}
        self._enter, self._leave = enter, leave
        self._frame: types.FrameType | None = None

    def _event(self, frame: types.FrameType, event: str, result: Any) -> None:
        function = self._codes.get(frame.f_code)
        if function is None:
            return
        if event == "call" and self._frame is None:
            self._frame = frame
            self._enter(function, dict(frame.f_locals))
        elif event == "return" and self._frame is frame:
            self._frame = None
            self._leave(function, result)

    @contextmanager
    def follow(self) -> Iterator[None]:
        """Watch this thread; costs nothing where there is no leaf function."""
        if not self._codes:
            yield
            return
        before = sys.getprofile()
        sys.setprofile(self._event)
        try:
            yield
        finally:
            sys.setprofile(before)


def bound_arguments(
    function: Callable[..., Any], values: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call, from the parameters that its frame holds."""
    signature = inspect.signature(inspect.unwrap(function))
    held = {name: values[name] for name in signature.parameters if name in values}
    bound = inspect.BoundArguments(signature, OrderedDict(held))
    return bound.args, bound.kwargs
