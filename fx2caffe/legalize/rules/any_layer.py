"""Decompositions that apply to a layer of any type, tried after its own."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import Tensor

from caffe2fx.layers import BatchNorm, Concat, Eltwise, PReLU, Reshape, Scale, Slice, Softmax
from caffe2fx.layers.activation import Neuron
from caffe2fx.layers.layer import Layer, axis_of
from caffe2fx.messages.message import Shape
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.reshape import (
    as_image,
    lead,
    reshaped,
    reshaped_source,
    split_shape,
    viewed,
)
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
    return _in_own_shapes(net, layer, bottoms, net.add_many(layer, *folded))


def _along_axis(
    net: Emitter, layer: Concat | Slice | Softmax, bottoms: Sequence[Symbol], tops: int
) -> Tops | None:
    if bottoms[0].value not in net.reshape_sources:
        return None
    return _folded_around(net, layer, bottoms, tops)


def _folded_around(
    net: Emitter, layer: Concat | Slice | Softmax, bottoms: Sequence[Symbol], tops: int
) -> Tops | None:
    """Run along axis 2 of images; along axis 1 of three where another axis carries the batch."""
    bottom = bottoms[0]
    axis = axis_of(layer.axis, bottom.rank)
    if lead(bottom) or not any(map(bottom.carries_batch, range(bottom.rank))):
        folded = [as_image(net, each, split_shape(each, axis, axis), "folded") for each in bottoms]
    else:
        folded = [viewed(net, each, lambda s: _thirds(s, axis), "folded") for each in bottoms]
    along = folded[0].rank - 2
    made = net.add_many(layer.replace(axis=along), *folded, suffix="along", tops=tops)
    return _in_own_shapes(net, layer, bottoms, made)


def _thirds(shape: Shape, axis: int) -> Shape:
    return (prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :]))


def _on_channels(
    net: Emitter,
    layer: BatchNorm | PReLU | Scale,
    bottoms: Sequence[Symbol],
    blobs: Sequence[Tensor],
) -> Tops | None:
    """Run with the axes behind the channels merged; axis 1, which the blobs belong to, stays."""
    bottom = bottoms[0]
    if bottom.value not in net.reshape_sources or not _is_on_channels(layer, bottoms):
        return None
    inner = prod(bottom.static_size(axis) for axis in range(2, bottom.rank))
    folded = viewed(net, bottom, lambda s: (s[0], s[1], inner, 1), suffix="folded")
    made = net.add_many(layer, folded, blobs=blobs, suffix="channels")
    return _in_own_shapes(net, layer, bottoms, made)


def _is_on_channels(layer: Layer, bottoms: Sequence[Symbol]) -> bool:
    """Return whether a layer has a blob with an element for each index of axis 1."""
    channels_first = getattr(layer, "axis", 1) == 1 and getattr(layer, "num_axes", 1) == 1
    of_channels = isinstance(layer, BatchNorm | PReLU | Scale) and channels_first
    return of_channels and len(bottoms) == 1 and bottoms[0].rank > 1


def as_one_sample(net: Emitter, call: LayerCall[Layer]) -> Tops | None:
    """Merge axis 0 into the axes behind it where it counts parts of one sample, as windows.

    before: Softmax{axis: 3} of (W,H,L,L)
    after:  Reshape (1,WHL,L,1), Softmax{axis: 2}, Reshape
    """
    layer, bottoms = call.layer, call.bottoms
    if not bottoms or not all(map(_has_parts, bottoms)):
        return None
    if isinstance(layer, Concat | Slice | Softmax):
        return _folded_around(net, layer, bottoms, call.tops)
    is_plain = isinstance(layer, Neuron | Eltwise) and not hasattr(layer, "axis")
    if not is_plain and not _is_on_channels(layer, bottoms):
        return None
    blobs = _repeated(layer, call.blobs, bottoms[0].shape)
    if blobs is None:
        return None
    merged = [viewed(net, each, _merged, suffix="merged") for each in bottoms]
    return _in_own_shapes(
        net, layer, bottoms, net.add_many(layer, *merged, blobs=blobs, suffix="one")
    )


def _has_parts(bottom: Symbol) -> bool:
    """Return whether axis 0 has more than one index, none of them a sample's."""
    return bottom.rank > 1 and bottom.shape == bottom.other_shape and bottom.shape[0] > 1


def _merged(shape: Shape) -> Shape:
    return (1, shape[0] * shape[1], *shape[2:])


def _repeated(layer: Layer, blobs: Sequence[Tensor], shape: Shape) -> list[Tensor] | None:
    """Repeat the blobs of axis 1 for each index of axis 0; None for blobs of a fork.

    BatchNorm's factor and a slope that all channels share stay single.
    """
    if getattr(layer, "channel_shared", False):
        return list(blobs)
    own = len(blobs) - isinstance(layer, BatchNorm)
    if any(blob.shape != shape[1:2] for blob in blobs[:own]):
        return None
    return [blob.repeat(shape[0]) if index < own else blob for index, blob in enumerate(blobs)]


def _in_own_shapes(
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
    """Count a negative axis from the front.

    before: Softmax{axis: -1} of 4 axes     after: Softmax{axis: 3}
    """
    layer, bottoms = call.layer, call.bottoms
    axis = getattr(layer, "axis", None)
    if not isinstance(axis, int) or axis >= 0 or isinstance(layer, Reshape) or not bottoms:
        return None
    counted = layer.replace(axis=axis + bottoms[0].rank)
    return net.add_many(counted, *bottoms, blobs=call.blobs, tops=call.tops)
