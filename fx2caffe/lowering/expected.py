"""Expected: the shapes and dtypes that torch gave for a node's result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from caffe2fx.messages.message import Shape


@dataclass(frozen=True)
class Expected:
    """What torch gave for the node: for handlers that ask for `out`."""

    meta: Any
    other_meta: Any
    read: frozenset[int] = frozenset()  # which of several results the model reads

    @property
    def shape(self) -> Shape:
        """Shape of the (first) result for the example's batch."""
        return tuple(self.meta.shape)

    @property
    def other_shape(self) -> Shape:
        """Shape of the (first) result for the other batch."""
        return tuple(self.other_meta.shape)
