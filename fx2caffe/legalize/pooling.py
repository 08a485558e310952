"""Pooling that rounds down, for Caffes that only round up."""

from __future__ import annotations

from caffe2fx.layers import Crop, DummyData, Pooling, RoundMode
from fx2caffe.emit import Emitter
from fx2caffe.legalize.rules import LayerCall, Tops


def floor_by_crop(net: Emitter, call: LayerCall[Pooling]) -> Tops:
    """Round up, then crop the last row and column where rounding down has none.

    before: Pooling{round_mode: FLOOR}
    after:  Pooling, DummyData 1x1xHxW, Crop to its H and W (where the sizes differ at all)
    """
    layer, bottom = call.layer, call.bottom
    up = layer.replace(round_mode=RoundMode.CEIL)
    wanted = layer.top_shapes([bottom.shape], 1)[0]
    if up.top_shapes([bottom.shape], 1)[0] == wanted:
        return net.add_many(up, bottom, tops=call.tops)
    pooled = net.add_many(up, bottom, role="ceil", tops=call.tops)
    size = net.add(DummyData(shape=((1, 1, *wanted[2:]),)), role="size")
    return tuple(net.add(Crop(), top, size) for top in pooled)
