"""TensorMeta: shape and dtype of a value that flows through a model while it is traced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class TensorMeta:
    """Holds shape and dtype of a traced value."""

    shape: tuple[int, ...]
    dtype: torch.dtype


def meta_of(value: Any) -> Any:
    """Return a result with each tensor replaced by its TensorMeta."""
    if isinstance(value, Tensor):
        return TensorMeta(tuple(value.shape), value.dtype)
    if isinstance(value, tuple):
        return tuple(meta_of(item) for item in value)
    if isinstance(value, list):
        return [meta_of(item) for item in value]
    if isinstance(value, dict):
        return {key: meta_of(item) for key, item in value.items()}
    return value


def map_tensors(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """Return the arguments of a call with every tensor in them replaced by `change` of it."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, torch.Size):
        return value  # Tensor.new takes a Size for a shape, and a tuple for data
    if isinstance(value, tuple):
        items = [map_tensors(item, change) for item in value]
        kind = type(value)
        if kind is tuple:
            return tuple(items)
        return kind(*items) if hasattr(kind, "_fields") else kind(items)
    if isinstance(value, list):
        return [map_tensors(item, change) for item in value]
    if isinstance(value, dict):
        return {key: map_tensors(item, change) for key, item in value.items()}
    if isinstance(value, slice):
        return slice(*(map_tensors(v, change) for v in (value.start, value.stop, value.step)))
    return value


def tensors_in(value: Any, found: list[Tensor] | None = None) -> list[Tensor]:
    """Return every tensor in the arguments of a call, in order."""
    found = [] if found is None else found
    if isinstance(value, Tensor):
        found.append(value)
    elif isinstance(value, tuple | list):
        for item in value:
            tensors_in(item, found)
    elif isinstance(value, dict):
        for item in value.values():
            tensors_in(item, found)
    elif isinstance(value, slice):
        tensors_in((value.start, value.stop, value.step), found)
    return found
