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

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe2fx import compat
from fx2caffe.tracing.recording.dispatch_guard import Guard
from fx2caffe.tracing.recording.graph_builder import GraphBuilder
from fx2caffe.tracing.recording.refusal_log import RefusalLog
from fx2caffe.tracing.values.aliasing import version
from fx2caffe.tracing.values.tensor_meta import meta_of, tensors_in


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
    """Return a copy of a Python function of torch's that hands itself to no function mode."""
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
            compat.set_profile(before)


class LeafFunctionCalls:
    """Makes one node of each call of a leaf function; nothing inside the call is recorded."""

    def __init__(self, builder: GraphBuilder, log: RefusalLog, guard: Guard) -> None:
        self._builder, self._log, self._guard = builder, log, guard
        self._call: tuple[Any, list[tuple[Tensor, int]]] | None = None

    def enter(self, function: Callable[..., Any], values: dict[str, Any]) -> None:
        """Begin a call, whose frame holds its arguments in `values`."""
        self._call = None
        if self._guard.opaque:  # inside a leaf module, of which the call is a part
            return
        args, kwargs = bound_arguments(function, values)
        with torch._C.DisableTorchFunction():
            operands = tensors_in((args, kwargs))
            if any(self._builder.table.owns(tensor) for tensor in operands):
                self._guard.suspend()
                inputs = self._builder.create_arg((args, kwargs))
                self._call = inputs, [(t, version(t)) for t in operands]

    def leave(self, function: Callable[..., Any], result: Any) -> None:
        """End the call that was begun last. Raises UnsupportedError if it wrote its arguments."""
        if self._call is None:
            return
        inputs, operands = self._call
        with torch._C.DisableTorchFunction():
            if any(version(tensor) != before for tensor, before in operands):
                self._log.refuse(function.__name__, "writes its arguments")
            self._builder.bind(result, self._builder.emit(function, inputs, meta_of(result)))
            self._guard.resume()


def bound_arguments(
    function: Callable[..., Any], values: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call, from the parameters that its frame holds."""
    signature = inspect.signature(inspect.unwrap(function))
    held = {name: values[name] for name in signature.parameters if name in values}
    bound = inspect.BoundArguments(signature, OrderedDict(held))
    return bound.args, bound.kwargs
