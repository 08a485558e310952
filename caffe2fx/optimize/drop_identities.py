"""Drop layers that compute the identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from caffe2fx.layers import Dropout, Power, Tile
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value
from caffe2fx.optimize.view import View, is_plain


def drop_identities(net: Net) -> Net:
    """Let the readers of an identity's top read its bottom; one that writes an output stays.

    before: fc -> Dropout -> Reshape -> Reshape back -> ReLU     after: fc -> ReLU
    """
    view = View(net)
    same: dict[Value, Value] = {}  # a top, and the value that it equals
    kept = []
    for step in net.steps:
        equal = _equal(view, step, same)
        if equal is None or set(step.tops) & set(net.outputs):
            kept.append(step.reading(same))
        else:
            same.update((top, equal) for top in step.tops)
    return replace(net, steps=tuple(kept))


def _equal(view: View, step: Step, same: Mapping[Value, Value]) -> Value | None:
    """Return the value that all tops of a step equal, None if there is none."""
    if len(step.bottoms) != 1 or not step.tops or not is_plain(step):
        return None
    bottom = step.bottoms[0]
    if step.shares_memory:
        found = _before_reshapes(view, bottom, step.tops[0])
        return None if found is None else same.get(found, found)
    return same.get(bottom, bottom) if _is_identity(step) else None


def _is_identity(step: Step) -> bool:
    layer = step.layer
    one_tile = isinstance(layer, Tile) and layer.tiles == 1
    return type(layer) is Dropout or layer == Power() or one_tile


def _before_reshapes(view: View, value: Value, top: Value) -> Value | None:
    """Return the value of the top's shape from which layers that keep the memory lead to it."""
    while not view.same_shape(value, top):
        step = view.maker(value)
        if not step.shares_memory or len(step.bottoms) != 1 or not is_plain(step):
            return None
        value = step.bottoms[0]
    return value
