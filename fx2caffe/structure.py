"""Inputs and outputs of any structure: to a flat list of tensors and back."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Build = Callable[[Iterator[Any]], Any]


@dataclass(frozen=True)
class Rebuild:
    """Puts `count` values where the tensors of a structure were; plain leaves are kept."""

    count: int
    build: Build

    def __call__(self, values: Sequence[Any]) -> Any:
        if len(values) != self.count:
            raise ValueError(f"the structure needs {self.count} values, got {len(values)}")
        return self.build(iter(values))


@dataclass(frozen=True)
class Flat:
    """The tensors of a structure with their paths, and what builds the structure again."""

    paths: tuple[tuple[str, ...], ...]
    tensors: tuple[Tensor, ...]
    rebuild: Rebuild


def flatten(value: Any) -> Flat:
    """Take the tensors out of tuples, lists, dicts, dataclasses and their subclasses."""
    found: list[tuple[tuple[str, ...], Tensor]] = []
    build = _take(value, (), found)
    paths, tensors = tuple(path for path, _ in found), tuple(tensor for _, tensor in found)
    return Flat(paths, tensors, Rebuild(len(found), build))


def _take(value: Any, path: tuple[str, ...], found: list[tuple[tuple[str, ...], Tensor]]) -> Build:
    if isinstance(value, Tensor):
        found.append((path, value))
        return next
    parts = _parts(value)
    if parts is None:
        return lambda _: value
    names, children, join = parts
    builds = [
        _take(child, (*path, name), found) for name, child in zip(names, children, strict=True)
    ]
    return lambda values: join([build(values) for build in builds])


Parts = tuple[list[str], list[Any], Callable[[list[Any]], Any]]


def _parts(value: Any) -> Parts | None:
    """Names and children of a container and what joins them; None for a leaf."""
    kind = type(value)
    if isinstance(value, Mapping):
        return _mapping_parts(value)
    if isinstance(value, torch.Size):
        return None
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return list(kind._fields), list(value), lambda items: kind(*items)
    if isinstance(value, tuple | list):
        return [str(i) for i in range(len(value))], list(value), lambda items: kind(items)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _object_parts(value, {f.name for f in dataclasses.fields(value)})
    return None


def _mapping_parts(value: Mapping[Any, Any]) -> Parts | None:
    keys = list(value)
    names = [str(key) for key in keys]
    if dataclasses.is_dataclass(value):
        # A mapping of its own fields (transformers' ModelOutput) fills itself when it is made.
        kind, fields = type(value), [f.name for f in dataclasses.fields(value) if f.init]
        children = [getattr(value, name) for name in fields]
        return fields, children, lambda items: kind(**dict(zip(fields, items, strict=True)))
    if not hasattr(value, "__setitem__"):
        return names, list(value.values()), lambda items: dict(zip(keys, items, strict=True))
    empty = copy.copy(value)
    _fill(empty, keys, [None] * len(keys))
    return names, list(value.values()), lambda items: _fill(copy.copy(empty), keys, items)


def _fill(target: Any, keys: list[Any], items: list[Any]) -> Any:
    for key, item in zip(keys, items, strict=True):
        target[key] = item
    return target


def _object_parts(value: Any, fields: set[str]) -> Parts:
    """A dataclass is rebuilt attribute by attribute: its __init__ may refuse or compute."""
    kind = type(value)
    held = {**{n: getattr(value, n) for n in fields if hasattr(value, n)}, **_dict_of(value)}
    order = [f.name for f in dataclasses.fields(value) if f.name in held]
    order += [name for name in held if name not in fields]

    def join(items: list[Any]) -> Any:
        made = object.__new__(kind)
        for name, item in zip(order, items, strict=True):
            object.__setattr__(made, name, item)
        return made

    return order, [held[name] for name in order], join


def _dict_of(value: Any) -> dict[str, Any]:
    return dict(getattr(value, "__dict__", {}))


def hidden_tensors(value: Any) -> bool:
    """Whether a leaf of an unknown class holds tensors that flatten can not see."""
    if _parts(value) is not None:
        _, children, _ = _parts(value) or ([], [], None)
        return any(hidden_tensors(child) for child in children)
    if isinstance(value, Tensor | nn.Module | type):
        return False
    return any(flatten(held).tensors for held in _dict_of(value).values())


def as_inputs(
    model: nn.Module | Callable[..., Any], example_inputs: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The positional and keyword arguments of forward that `example_inputs` stands for.

    A tuple or list gives the arguments in order; a dict whose keys are forward's own
    parameter names gives them by name; anything else is the one argument. NumPy arrays
    become tensors: floating ones take the model's dtype, and one of three axes (C, H, W)
    gets a batch axis in front.
    """
    dtype = _dtype_of(model)
    if isinstance(example_inputs, dict) and _names_parameters(model, example_inputs):
        return (), {name: _as_tensors(value, dtype) for name, value in example_inputs.items()}
    if type(example_inputs) in (tuple, list):
        return tuple(_as_tensors(value, dtype) for value in example_inputs), {}
    return (_as_tensors(example_inputs, dtype),), {}


def _dtype_of(model: nn.Module | Callable[..., Any]) -> torch.dtype:
    parameters = model.parameters() if isinstance(model, nn.Module) else iter(())
    floating = (p.dtype for p in parameters if p.dtype.is_floating_point)
    return next(floating, torch.get_default_dtype())


def signature_of(model: nn.Module | Callable[..., Any]) -> inspect.Signature | None:
    """The signature that inputs are bound to: forward's own; None where there is none."""
    try:
        return inspect.signature(model.forward if isinstance(model, nn.Module) else model)
    except (TypeError, ValueError):
        return None


def _names_parameters(model: nn.Module | Callable[..., Any], inputs: dict[Any, Any]) -> bool:
    signature = signature_of(model)
    if signature is None or not all(isinstance(key, str) for key in inputs):
        return False
    parameters = signature.parameters.values()
    keywords = any(p.kind is p.VAR_KEYWORD for p in parameters)
    return keywords or all(key in signature.parameters for key in inputs)


def _as_tensors(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, np.ndarray):
        return _as_tensor(value, dtype)
    if type(value) in (tuple, list):
        return type(value)(_as_tensors(item, dtype) for item in value)
    if type(value) is dict:
        return {key: _as_tensors(item, dtype) for key, item in value.items()}
    return value


def _as_tensor(array: np.ndarray[Any, Any], dtype: torch.dtype) -> Tensor:
    tensor = torch.tensor(array)
    if not tensor.is_floating_point():
        return tensor
    return (tensor[None] if tensor.ndim == 3 else tensor).to(dtype)


def input_names(
    model: nn.Module | Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[str, ...]:
    """One name per input tensor: forward's parameter, with a suffix for each nesting."""
    names = [f"{_parameter(model, i)}" for i in range(len(args))] + list(kwargs)
    leaves = [flatten(value).paths for value in (*args, *kwargs.values())]
    return tuple(
        "_".join((name, *path)) for name, paths in zip(names, leaves, strict=True) for path in paths
    )


def _parameter(model: nn.Module | Callable[..., Any], position: int) -> str:
    signature = signature_of(model)
    parameters = list(signature.parameters.values()) if signature is not None else []
    for index, parameter in enumerate(parameters):
        if parameter.kind is parameter.VAR_POSITIONAL:
            return f"{parameter.name}_{position - index}"
        if index == position:
            return parameter.name
    return f"input_{position}"


def output_names(flat: Flat) -> tuple[str, ...]:
    """One name per output tensor: its keys joined by dots, "output" for a lone tensor."""
    return tuple(".".join(path) or "output" for path in flat.paths)
