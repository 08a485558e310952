"""The registry of handlers, by torch function or module class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import nn

from caffe2fx import compat
from caffe2fx.errors import CaffeError
from caffe2fx.layers.layer import RecordModule
from fx2caffe.ir import graph_functions

Handler = Callable[..., Any]
H = TypeVar("H", bound=Handler)
_HANDLERS: dict[Any, Handler] = {}
_USERS: list[Any] = []  # targets of the user's handlers


def handles(*targets: Any) -> Callable[[H], H]:
    """Register a handler for torch functions (in the tracer's canonical form) or module classes.

    A handler takes the emitter and then exactly the function's own arguments, by the same names: a
    Symbol for a traced tensor, a Tensor for a constant, plain Python otherwise. It returns a
    Symbol, a tuple of them, or a constant; it raises Refused for arguments that it cannot express.
    An argument that it does not name is refused unless it is at its default. A function of later
    versions of torch than the one that runs is left out.
    """

    return registering(_HANDLERS, targets)


def registering(found: dict[Any, Handler], targets: Iterable[Any]) -> Callable[[H], H]:
    """Return a decorator that puts a handler into `found` for each target that this torch has.

    Raises CaffeError for a target that has one there.
    """

    def register(handler: H) -> H:
        for target in filter(None, map(compat.function_of, targets)):
            if target in found:
                raise CaffeError(f"{qualified_name(target)} has two handlers")
            found[target] = handler
        return handler

    return register


def register(target: Any) -> Callable[[H], H]:
    """Register a handler for a function or nn.Module class of your own, which becomes a leaf.

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
    """Remove a handler that `register` registered."""
    _USERS.remove(target)
    del _HANDLERS[target]


def leaves() -> tuple[list[type[nn.Module]], list[Callable[..., Any]]]:
    """Return the module classes and functions that stay leaves: Caffe's own and the user's."""
    modules = [kind for kind in _USERS if isinstance(kind, type)]
    functions = [function for function in _USERS if not isinstance(function, type)]
    return [RecordModule, *modules], functions


def handlers() -> Mapping[Any, Handler]:
    """Return all registered handlers by function or module class."""
    return dict(_HANDLERS)


def qualified_name(target: Any) -> str:
    """Return a torch function's name as a user writes it."""
    name = getattr(target, "__name__", str(target))
    if isinstance(target, type):
        return name
    is_ours = getattr(target, "__module__", None) == graph_functions.__name__
    if getattr(F, name, None) is target or (is_ours and name == "grouped_mm"):
        return f"F.{name}"
    if getattr(torch, name, None) is target or (is_ours and hasattr(torch, name)):
        return f"torch.{name}"
    if getattr(torch.Tensor, name, None) is target:
        return f"Tensor.{name}"
    for package in ("fft", "linalg", "special"):
        if name.startswith(f"{package}_"):
            return f"torch.{package}.{name.removeprefix(f'{package}_')}"
    return f"{getattr(target, '__module__', None) or 'torch'}.{name}"
