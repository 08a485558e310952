"""Recognize a Pooling that rounds down, which Caffe 1.0 decomposes with a Crop."""

from __future__ import annotations

from caffe2fx.layers import Crop, DummyData, Pooling, RoundMode
from caffe2fx.layers.layer import axis_of
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step
from caffe2fx.optimize.rewriting import Match, rewritten
from caffe2fx.optimize.view import View


def recognize_floor_pooling(net: Net) -> Net:
    """Write a Pooling and the Crop of its last row and column as one Pooling.

    before: Pooling, DummyData 1x1xHxW, Crop to its H and W     after: Pooling{round_mode: FLOOR}
    """
    return rewritten(net, _match)


def _match(view: View, step: Step) -> Match | None:
    layer = step.layer
    pooling = view.step_of(step.bottoms[0], Pooling) if isinstance(layer, Crop) else None
    if pooling is None or not isinstance(layer, Crop) or not _crops_to_constant(view, step, layer):
        return None
    up, bottom = pooling.layer, view.shape(pooling.bottoms[0])
    assert isinstance(up, Pooling)
    down = up.replace(round_mode=RoundMode.FLOOR)
    if up.global_pooling or down.top_shapes([bottom], 1)[0] != view.shape(step.tops[0]):
        return None
    return Match((pooling,), down, pooling.bottoms)


def _crops_to_constant(view: View, step: Step, layer: Crop) -> bool:
    """Return whether a Crop keeps the first rows and columns, as many as the net's text states."""
    of_sides = axis_of(layer.axis, len(view.shape(step.bottoms[0]))) == 2
    stated = type(view.maker(step.bottoms[1]).layer) is DummyData
    return of_sides and not any(layer.offset) and stated
