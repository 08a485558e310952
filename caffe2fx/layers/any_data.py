"""Layers without bottoms whose type no record has: the caller gives the data that they read."""

from __future__ import annotations

import builtins
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Any

from caffe2fx.layers.data import Given, Source
from caffe2fx.layers.free_text import FreeText
from caffe2fx.messages.message import Shape


@dataclass(frozen=True, kw_only=True)
class AnyData(FreeText, Source):
    """Represents a layer that reads data and has no record."""

    def stated(self, given: Given) -> tuple[Shape | None, ...]:
        return tuple(given)

    def __reduce__(self) -> tuple[Any, ...]:
        return _revived, (self.type, self.text)


def _revived(type_: str, text: str) -> AnyData:
    return data_layer(type_)(text=text)


@cache
def data_layer(type_: str) -> builtins.type[AnyData]:
    """Return the record class for a type that reads data."""
    return builtins.type("AnyData", (AnyData,), {"type": type_})


def reads_data(type_: str, bottoms: Collection[str], tops: Collection[str]) -> bool:
    """Return whether a layer without a record can only read data: it has tops and no bottoms."""
    return bool(type_ and tops and not bottoms)
