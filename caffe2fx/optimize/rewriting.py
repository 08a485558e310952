"""Rewriting: the steps that a matcher finds become one step, where nobody else needs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from caffe2fx.layers.layer import Layer
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value
from caffe2fx.optimize.view import View, is_plain


@dataclass(frozen=True)
class Match:
    """Holds the steps that vanish besides the root, and the layer that does all their work."""

    inner: tuple[Step, ...]
    layer: Layer
    bottoms: tuple[Value, ...]
    blobs: tuple[Tensor, ...] = ()


# A matcher is given each step that may be the last of its pattern, the root; None: it is not.
Matcher = Callable[[View, Step], Match | None]


def rewritten(net: Net, matcher: Matcher) -> Net:
    """Return the net with each match as one step, which keeps the root's name and tops.

    A match is left as it is where another step reads a value between its steps, where such a value
    is an output of the net, and where an earlier match has one of its steps.
    """
    view = View(net)
    gone: set[int] = set()
    made: dict[int, Step] = {}
    for step in net.steps:
        match = matcher(view, step) if len(step.tops) == 1 and is_plain(step) else None
        if match is None or not view.is_closed(match.inner, step):
            continue
        inner = {id(part) for part in match.inner}
        if not inner & (gone | made.keys()):
            gone |= inner
            made[id(step)] = _one_step(step, match)
    return replace(net, steps=tuple(made.get(id(s), s) for s in net.steps if id(s) not in gone))


def _one_step(root: Step, match: Match) -> Step:
    return Step(root.name, match.layer, match.bottoms, root.tops, match.blobs, origin=root.origin)
