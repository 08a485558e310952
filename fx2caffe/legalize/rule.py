"""A rewrite rule: one decomposition of a layer that a target does not have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    """Holds a layer with its bottoms, blobs and number of tops, which a rule decomposes."""

    layer: L
    bottoms: Sequence[Symbol]
    blobs: Sequence[Tensor]
    tops: int

    @property
    def bottom(self) -> Symbol:
        """Return the first bottom."""
        return self.bottoms[0]


# A rule emits layers and returns the tops. It returns None where this use of the layer is not its
# subject, and raises Refused with the reason where it is but the rule cannot be applied.
Rule = Callable[[Emitter, LayerCall[Any]], Tops | None]


@dataclass(frozen=True)
class Cheapest:
    """Tries its rules in order; takes the first that applies, or one FACTOR times cheaper.

    One that keeps the batch free comes before all that fix it, whatever it costs. Below SMALL
    the cost (see Emitter.cost) of a net does not count: the first rules have the fewest layers.
    """

    rules: tuple[Rule, ...]

    def best(self, costs: Mapping[Rule, int]) -> Rule:
        """Return the rule to take; `costs` has those that apply, in their order."""
        first, least = next(iter(costs)), min(costs, key=costs.__getitem__)
        return least if costs[first] > max(SMALL, FACTOR * costs[least]) else first


FACTOR = 10
SMALL = 1 << 18


@dataclass(frozen=True)
class UserRule:
    """Holds a user's rule for a record: for the named targets, or for all without names."""

    record: type[Layer]
    rule: Rule
    targets: frozenset[str]

    def is_for(self, layer: Layer, target: str) -> bool:
        """Return whether the rule is to be tried for a layer in a target."""
        return type(layer) is self.record and (not self.targets or target in self.targets)


def name_of(rule: Rule) -> str:
    """Return the rule's file and function as a name to look up: pooling.floor_by_crop."""
    function: Any = rule
    return f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
