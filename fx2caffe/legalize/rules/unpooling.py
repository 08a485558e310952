"""Decompositions of the unpooling of Caffe's forks."""

from __future__ import annotations

from caffe2fx.layers import UpsampleMask
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.unpooling import unpooled
from fx2caffe.legalize.rule import LayerCall, Tops


def by_windows(net: Emitter, call: LayerCall[UpsampleMask]) -> Tops:
    """Take the element of each window that contains a position, where its index is this position.

    before: Upsample{scale: 2} of a map and of the mask of Pooling{MAX kernel: 2 stride: 2}
    after:  the map and the mask enlarged, Bias by -position, AbsVal, Threshold, Eltwise product
    """
    layer, (image, mask) = call.layer, call.bottoms
    sizes = layer.top_shapes([image.shape], 1)[0][2:]
    return (unpooled(net, image, mask, sizes),)
