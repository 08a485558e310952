"""A rewrite rule: one decomposition of a layer that a target does not have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import Tensor

from caffe2fx.layers.layer import Layer
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Symbol

L = TypeVar("L", bound=Layer)
Tops = tuple[Symbol, ...]


@dataclass(frozen=True)
class LayerCall(Generic[L]):
    """A layer on its bottoms, with its blobs and its number of tops, which a rule decomposes."""

    layer: L
    bottoms: Sequence[Symbol]
    blobs: Sequence[Tensor]
    tops: int

    @property
    def bottom(self) -> Symbol:
        """The first bottom."""
        return self.bottoms[0]


# A rule emits the layers and returns the tops. It returns None where it is not about this use of
# the layer, and raises Refused with the reason where it is but cannot be applied.
Rule = Callable[[Emitter, LayerCall[Any]], Tops | None]
