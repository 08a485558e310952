"""The registry of rewrite rules: how a layer that a target lacks is said in other layers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from torch import Tensor

from caffe2fx.layer import Layer
from fx2caffe.emit import Emitter, Symbol

# A rule takes the emitter, the layer, its bottoms, its blobs and its number of tops, and gives
# those tops; it raises Refused with a reason where it does not apply (an empty one where it is
# about other uses of the layer altogether).
Rule = Callable[[Emitter, Any, Sequence[Symbol], Sequence[Tensor], int], tuple[Symbol, ...]]
R = TypeVar("R", bound=Rule)
_RULES: dict[type[Layer], list[Rule]] = defaultdict(list)


def rewrites(layer: type[Layer], *, before: Rule | None = None) -> Callable[[R], R]:
    """Register a rule for a record (for Layer: for all of them, as a last resort).

    Rules of one record are tried in order of registration, or `before` another one.
    """

    def register(rule: R) -> R:
        rules = _RULES[layer]
        rules.insert(len(rules) if before is None else rules.index(before), rule)
        return rule

    return register


def rules_for(layer: Layer) -> Sequence[Rule]:
    """The rules for a record, cheapest first."""
    return [*_RULES.get(type(layer), ()), *_RULES.get(Layer, ())]
