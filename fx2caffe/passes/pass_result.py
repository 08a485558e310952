"""PassResult: every pass returns a net, and says which values each value became."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from caffe2fx.net.net import Net
from caffe2fx.net.step import Value

# The values that hold in the new net what a value held in the old one: several where it was
# copied, none where no value does any more. A value that is missing is still the same.
Moved = Mapping[Value, tuple[Value, ...]]


@dataclass(frozen=True)
class PassResult:
    """A net after a pass, and the values that are not what they were (see `Moved`)."""

    net: Net
    moved: Moved = field(default_factory=dict)


def renamed_values(before: Net, after: Net) -> Moved:
    """The values of `after`, whose steps are those of `before` under other names."""
    pairs = zip(before.steps, after.steps, strict=True)
    return {a: (b,) for old, new in pairs for a, b in zip(old.tops, new.tops, strict=True)}


def follow(nodes: Mapping[Value, str], result: PassResult) -> dict[Value, str]:
    """The traced node of each value of the net after a pass, from those before it."""
    tops = {top for step in result.net.steps for top in step.tops}
    moved = ((new, n) for old, n in nodes.items() for new in result.moved.get(old, (old,)))
    return {value: node for value, node in moved if value in tops}
