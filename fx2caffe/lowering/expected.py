"""Expected: the shapes and dtypes that torch gave for a node's result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from caffe2fx.messages.message import Shape


@dataclass(frozen=True)
class Expected:
    """Holds torch's results of the node at both batch sizes, for a handler's parameter `out`."""

    meta: Any
    other_meta: Any
    read: frozenset[int] = frozenset()  # indices of the results that the model reads

    @property
    def shape(self) -> Shape:
        """Return the shape of the (first) result at the example's batch size."""
        return tuple(self.meta.shape)

    @property
    def other_shape(self) -> Shape:
        """Return the shape of the (first) result at the other batch size."""
        return tuple(self.other_meta.shape)
