"""Images with longer sides than a target takes: in halves, until they are short enough."""

from __future__ import annotations

from math import prod

from caffe2fx.layers import Concat, Slice
from fx2caffe.emit import Emitter
from fx2caffe.legalize.permute import Permute
from fx2caffe.legalize.rules import LayerCall, Tops

SHORT = 4096  # numbers: no target takes less as one side


def in_halves(net: Emitter, call: LayerCall[Permute]) -> Tops | None:
    """What swaps two axes makes one side of both; with half of one axis it is half as long.

    before: Permute
    after:  Slice of the longest axis, a Permute of each half, Concat
    """
    layer, bottoms = call.layer, call.bottoms
    (source,) = bottoms
    pairs = zip(source.shape, source.other, strict=True)
    sizes = [one if one == two else 1 for one, two in pairs]
    if prod(sizes) <= SHORT:
        return None
    longest = sizes.index(max(sizes))
    half = Slice(axis=longest, slice_point=(sizes[longest] // 2,))
    parts = net.add_many(half, source, tops=2, role="halves")
    moved = [net.add(layer, part, role=f"half{index}") for index, part in enumerate(parts)]
    return (net.add(Concat(axis=layer.order.index(longest)), *moved),)
