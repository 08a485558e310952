"""Inputs and outputs of any structure: to a flat list of tensors and back."""

from __future__ import annotations

import copy
import dataclasses
from collections import deque
from collections.abc import (
    Callable,
    ItemsView,
    Iterator,
    Mapping,
    Sequence,
    Set,
    ValuesView,
)
from dataclasses import dataclass
from typing import Any

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
    """Holds the tensors of a structure with their paths, and the function that rebuilds it."""

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
    """Return names and children of a container, and a function that joins them; None for a leaf."""
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
    """Return a dataclass's parts; it is rebuilt without its __init__, which may refuse."""
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


# Containers whose items can be read only once, or have no order.
_LOOSE = (Set, ValuesView, ItemsView, deque)


def hidden_tensors(value: Any) -> str:
    """Return the class of a part that may hold tensors hidden from flatten; "" if none."""
    parts = _parts(value)
    if parts is not None:
        return next(filter(None, map(hidden_tensors, parts[1])), "")
    if isinstance(value, Tensor | nn.Module | type):
        return ""
    if isinstance(value, Iterator):
        return type(value).__name__
    held = list(value) if isinstance(value, _LOOSE) else list(_attributes_of(value).values())
    return type(value).__name__ if flatten(held).tensors else ""


def _attributes_of(value: Any) -> dict[str, Any]:
    slots = (vars(kind).get("__slots__", ()) for kind in type(value).__mro__)
    names = [name for own in slots for name in ([own] if isinstance(own, str) else own)]
    return {**{n: getattr(value, n) for n in names if hasattr(value, n)}, **_dict_of(value)}


def output_names(flat: Flat) -> tuple[str, ...]:
    """Return one name per output tensor: its keys joined by dots, "output" for a lone tensor."""
    return tuple(".".join(path) or "output" for path in flat.paths)
