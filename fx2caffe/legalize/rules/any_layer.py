"""Decompositions that apply to a layer of any type, tried after its own."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import Tensor

from caffe2fx.layers import BatchNorm, Concat, Eltwise, PReLU, Reshape, Scale, Slice, Softmax
from caffe2fx.layers.activation import Neuron
from caffe2fx.layers.layer import Layer, axis_of
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.reshape import as_image, reshaped, reshaped_source, split_shape, viewed
from fx2caffe.ir.symbol import Symbol
from fx2caffe.legalize.rule import LayerCall, Tops


def as_fewer_axes(net: Emitter, call: LayerCall[Layer]) -> Tops | None:
    """Run a layer on a reshape of its bottoms with a rank that the target accepts."""
    layer, bottoms = call.layer, call.bottoms
    if isinstance(layer, Concat | Slice | Softmax):
        return _along_axis(net, layer, bottoms, call.tops)
    if isinstance(layer, BatchNorm | PReLU | Scale):
        return _on_channels(net, layer, bottoms, call.blobs)
    if isinstance(layer, Neuron | Eltwise) and not call.blobs and not hasattr(layer, "axis"):
        return _elementwise(net, layer, bottoms)
    return None


def _elementwise(net: Emitter, layer: Layer, bottoms: Sequence[Symbol]) -> Tops | None:
    """Run in the shape of the first bottom's earliest source, or on a bottom with a second axis."""
    source = bottoms[0]
    while source.value in net.reshape_sources:
        source = net.reshape_sources[source.value]
    shape, other = source.shape, source.other_shape
    if source is bottoms[0] or source.rank < 2:
        shape, other = (*shape, 1), (*other, 1)
    if source is bottoms[0] and source.rank > 1:
        return None
    folded = [reshaped_source(net, bottom, shape, other, suffix="folded") for bottom in bottoms]
    return _as_given(net, layer, bottoms, net.add_many(layer, *folded))


def _along_axis(
    net: Emitter, layer: Concat | Slice | Softmax, bottoms: Sequence[Symbol], tops: int
) -> Tops | None:
    if bottoms[0].value not in net.reshape_sources:
        return None
    axis = axis_of(layer.axis, bottoms[0].rank)
    folded = [
        as_image(net, bottom, split_shape(bottom, axis, axis), "folded") for bottom in bottoms
    ]
    made = net.add_many(layer.replace(axis=2), *folded, suffix="along", tops=tops)
    return _as_given(net, layer, bottoms, made)


def _on_channels(
    net: Emitter,
    layer: BatchNorm | PReLU | Scale,
    bottoms: Sequence[Symbol],
    blobs: Sequence[Tensor],
) -> Tops | None:
    """Run with the axes behind the channels merged; axis 1, which the blobs belong to, stays."""
    channels_first = getattr(layer, "axis", 1) == 1 and getattr(layer, "num_axes", 1) == 1
    bottom = bottoms[0]
    viewed_before = bottom.value in net.reshape_sources and bottom.rank > 1
    if len(bottoms) != 1 or not viewed_before or not channels_first:
        return None
    inner = prod(bottom.static_size(axis) for axis in range(2, bottom.rank))
    folded = viewed(net, bottom, lambda s: (s[0], s[1], inner, 1), suffix="folded")
    made = net.add_many(layer, folded, blobs=blobs, suffix="channels")
    return _as_given(net, layer, bottoms, made)


def _as_given(
    net: Emitter, layer: Layer, bottoms: Sequence[Symbol], made: Sequence[Symbol]
) -> Tops:
    """Reshape the tops to the shapes that the layer gives for its own bottoms."""
    shapes = layer.top_shapes([bottom.shape for bottom in bottoms], len(made))
    others = layer.top_shapes([bottom.other_shape for bottom in bottoms], len(made))
    return tuple(
        reshaped(net, top, shape, other)
        for top, shape, other in zip(made, shapes, others, strict=True)
    )


def axis_counted_from_front(net: Emitter, call: LayerCall[Layer]) -> Tops | None:
    """before: Softmax{axis: -1} of 4 axes     after: Softmax{axis: 3}"""
    layer, bottoms = call.layer, call.bottoms
    axis = getattr(layer, "axis", None)
    if not isinstance(axis, int) or axis >= 0 or isinstance(layer, Reshape) or not bottoms:
        return None
    counted = layer.replace(axis=axis + bottoms[0].rank)
    return net.add_many(counted, *bottoms, blobs=call.blobs, tops=call.tops)
