"""The registry of records: finds the record for a type, a dialect and the fields that are set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TypeVar

from caffe2fx.errors import CaffeError
from caffe2fx.layers.layer import Layer

L = TypeVar("L", bound="type[Layer]")
_REGISTRY: dict[str, tuple[type[Layer], ...]] = {}


def register(layer: L) -> L:
    """Register a record under its Caffe type name, in its dialects (a class decorator).

    One dialect may have two records of a name if they take different numbers of bottoms.
    """
    meanings = _REGISTRY.get(layer.type, ())
    if any(_is_same(meaning, layer) for meaning in meanings):
        raise CaffeError(f"layer type {layer.type!r} is registered twice for {layer.dialects}")
    _REGISTRY[layer.type] = (*meanings, layer)
    return layer


def _is_same(one: type[Layer], two: type[Layer]) -> bool:
    """Return whether neither a dialect nor the number of bottoms distinguishes two records."""
    together = max(one.bottoms[0], two.bottoms[0]) <= min(one.bottoms[1], two.bottoms[1])
    return together and not set(one.dialects).isdisjoint(two.dialects)


def registered() -> Mapping[str, tuple[type[Layer], ...]]:
    """Return the records of each type; `caffe2fx.layers.REGISTRY` is the same, and complete."""
    return MappingProxyType(_REGISTRY)


def forget(type_: str) -> None:
    """Remove a type from the registry."""
    del _REGISTRY[type_]


def records() -> Iterator[type[Layer]]:
    """Yield every record of every type."""
    return (record for meanings in _REGISTRY.values() for record in meanings)
