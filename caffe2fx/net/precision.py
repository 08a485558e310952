"""Run a module in another precision than its own."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, fx, nn

M = TypeVar("M", bound=nn.Module)
# By these a class states how it is copied.
PROTOCOL = ("__deepcopy__", "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__")


@contextmanager
def in_precision(module: M, dtype: torch.dtype) -> Iterator[M]:
    """Yield a module to run in `dtype`: the module itself in float32, for float64 a copy.

    The copy's memory is released at the end and not whenever Python looks for cycles, of which
    every GraphModule is one.
    """
    if dtype is not torch.float64:
        yield module
        return
    twin: M = _twin(module, dict(_in_float64(module)))
    try:
        yield twin
    finally:
        twin.to("meta")


def _in_float64(module: nn.Module) -> Iterator[tuple[int, Tensor]]:
    """Yield by id each parameter and buffer with the tensor that replaces it in a float64 copy."""
    for parameter in module.parameters():
        yield id(parameter), nn.Parameter(_wide(parameter.detach()), requires_grad=False)
    for buffer in module.buffers():
        yield id(buffer), _wide(buffer)


def _wide(value: Tensor) -> Tensor:
    """Return a copy in float64 or complex128, in its own dtype if it holds integers or masks."""
    if value.is_complex():
        return value.to(torch.complex128)
    return value.double() if value.is_floating_point() else value.clone()


def _twin(module: Any, copies: dict[int, Any]) -> Any:
    """Return a copy of a module; `copies` holds by id what takes the place of what it refers to.

    A graph is shared with its code, which copy.deepcopy would compile again, and so are the empty
    tables of hooks, of which every module has a dozen.
    """
    if id(module) in copies:
        return copies[id(module)]
    is_graph = isinstance(module, fx.GraphModule)
    if not is_graph and not _is_copied_as_modules_are(type(module)):
        return copy.deepcopy(module, copies)
    copies[id(module)] = twin = object.__new__(type(module))
    state = dict(vars(module))
    tables = [state.pop(name) for name in ("_parameters", "_buffers", "_modules")]
    vars(twin).update(
        _parameters={name: copies.get(id(value), value) for name, value in tables[0].items()},
        _buffers={name: copies.get(id(value), value) for name, value in tables[1].items()},
        _modules={name: child and _twin(child, copies) for name, child in tables[2].items()},
    )
    for name, value in state.items():
        is_shared = is_graph or (isinstance(value, dict) and not value)
        vars(twin)[name] = value if is_shared else copy.deepcopy(value, copies)
    return twin


def _is_copied_as_modules_are(kind: type[nn.Module]) -> bool:
    return all(getattr(kind, name, None) is getattr(nn.Module, name, None) for name in PROTOCOL)
