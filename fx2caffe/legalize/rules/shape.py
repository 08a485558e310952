"""Decompositions of Reshape, Flatten and Slice."""

from __future__ import annotations

from caffe2fx.layers import Flatten, Reshape, Slice
from caffe2fx.layers.layer import axis_of
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.reshape import by_reshape, reshaped
from fx2caffe.legalize.rule import LayerCall, Tops


def from_reshape_source(net: Emitter, call: LayerCall[Reshape | Flatten]) -> Tops:
    """Reshape the source of a chain of reshapes directly, which leaves the chain unread."""
    layer, bottoms = call.layer, call.bottoms
    bottom = source = bottoms[0]
    shape, other = (layer.top_shapes([sizes], 1)[0] for sizes in (bottom.shape, bottom.other_shape))
    while source.value in net.reshape_sources:
        source = net.reshape_sources[source.value]
    partial = isinstance(layer, Reshape) and (layer.axis, layer.num_axes) != (0, -1)
    if source is not bottom or partial:
        return (reshaped(net, source, shape, other),)
    return (net.add_unread(layer, bottom),)


def equal_slice_points(net: Emitter, call: LayerCall[Slice]) -> Tops | None:
    """State the points of a Slice into equal parts.

    before: Slice into 3 of 6     after: Slice{slice_point: 2 slice_point: 4}
    """
    layer, bottom, tops = call.layer, call.bottom, call.tops
    if layer.slice_point or tops < 2:
        return None
    size = bottom.static_size(axis_of(layer.axis, bottom.rank))
    points = tuple(size * index // tops for index in range(1, tops))
    return net.add_many(layer.replace(slice_point=points), bottom, tops=tops)


def flatten_by_reshape(net: Emitter, call: LayerCall[Flatten]) -> Tops:
    """Flatten by a Reshape, also from axis 0 on.

    before: Flatten{axis: 0 end_axis: 1} of (1,12,5)     after: Reshape{12 5}
    """
    bottom = call.bottom
    shape, other = (
        call.layer.top_shapes([sizes], 1)[0] for sizes in (bottom.shape, bottom.other_shape)
    )
    return (by_reshape(net, bottom, shape, other),)
