"""Pooling that rounds down, for Caffes that only round up."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from caffe2fx.layers import Crop, DummyData, Pooling, RoundMode
from fx2caffe.emit import Emitter, Symbol
from fx2caffe.legalize.rules import rewrites


@rewrites(Pooling)
def floor_by_crop(
    net: Emitter, layer: Pooling, bottoms: Sequence[Symbol], blobs: Sequence[Tensor], tops: int
) -> tuple[Symbol, ...]:
    """Round up, then crop the last row and column where rounding down has none.

    before: Pooling{round_mode: FLOOR}
    after:  Pooling, DummyData 1x1xHxW, Crop to its H and W (where the sizes differ at all)
    """
    bottom = bottoms[0]
    up = layer.replace(round_mode=RoundMode.CEIL)
    wanted = layer.top_shapes([bottom.shape], 1)[0]
    if up.top_shapes([bottom.shape], 1)[0] == wanted:
        return net.add_many(up, bottom, tops=tops)
    pooled = net.add_many(up, bottom, role="ceil", tops=tops)
    size = net.add(DummyData(shape=((1, 1, *wanted[2:]),)), role="size")
    return tuple(net.add(Crop(), top, size) for top in pooled)
