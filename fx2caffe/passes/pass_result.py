"""PassResult: a pass returns a net and the map from old values to new ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from caffe2fx.net.net import Net
from caffe2fx.net.step import Value

# The values of the new net that hold a value of the old one: several where it was copied,
# none where it is gone. A value that is not in the map is unchanged.
Moved = Mapping[Value, tuple[Value, ...]]


@dataclass(frozen=True)
class PassResult:
    """Holds the net after a pass, and the values that changed (see `Moved`)."""

    net: Net
    moved: Moved = field(default_factory=dict)


def renamed_values(before: Net, after: Net) -> Moved:
    """Map the values of `before` to those of `after`, whose steps differ in names only."""
    pairs = zip(before.steps, after.steps, strict=True)
    return {a: (b,) for old, new in pairs for a, b in zip(old.tops, new.tops, strict=True)}


def follow(nodes: Mapping[Value, str], result: PassResult) -> dict[Value, str]:
    """Return the traced node of each value after a pass, given those before it."""
    tops = {top for step in result.net.steps for top in step.tops}
    moved = ((new, n) for old, n in nodes.items() for new in result.moved.get(old, (old,)))
    return {value: node for value, node in moved if value in tops}
