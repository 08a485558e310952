"""Decompositions of products with constant matrices: AxisMatrix and InnerProduct."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from caffe2fx.layers import Bias, Convolution, Deconvolution, InnerProduct, Reshape
from caffe2fx.layers.layer import Layer, axis_of
from caffe2fx.messages.message import Shape
from fx2caffe.ir.axis_matrix import AxisMatrix
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.gather import DENSE
from fx2caffe.ir.reshape import as_image, reshaped, split_shape, viewed
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.legalize.rule import LayerCall, Tops


def last_axis(net: Emitter, call: LayerCall[AxisMatrix]) -> Tops:
    """Multiply the last axis by an InnerProduct, which keeps all axes before it."""
    layer, bottom = call.layer, call.bottom
    if layer.axis != bottom.rank - 1 or layer.axis == 0:
        raise Refused(f"needs the last axis of several, got {layer.axis}")
    axis = 1 if bottom.rank == 2 else -1
    product = InnerProduct(num_output=layer.rows, bias_term=False, axis=axis)
    return (net.add(product, bottom, blobs=call.blobs),)


def channels(net: Emitter, call: LayerCall[AxisMatrix]) -> Tops:
    """Multiply the channels of images by a 1x1 convolution."""
    layer, bottom = call.layer, call.bottom
    if layer.axis != 1 or bottom.rank != 4:
        raise Refused(f"needs axis 1 of 4, got axis {layer.axis} of {bottom.rank}")
    weight = call.blobs[0].reshape(layer.rows, bottom.static_size(1), 1, 1)
    product = Convolution(num_output=layer.rows, bias_term=False, kernel_size=(1,))
    return (net.add(product, bottom, blobs=[weight]),)


def any_axis(net: Emitter, call: LayerCall[AxisMatrix]) -> Tops:
    """Multiply any axis as the channels of a 1x1 convolution, with the axes before it as batch.

    The axes behind it are the image's width, which may follow the net's batch.
    """
    layer, bottom, axis = call.layer, call.bottom, call.layer.axis
    size = bottom.static_size(axis)
    flat = net.add(Reshape(shape=_as_channels(bottom, axis)), bottom, suffix="rows")
    product = Convolution(num_output=layer.rows, bias_term=False, kernel_size=(1,))
    weight = call.blobs[0].reshape(layer.rows, size, 1, 1)
    mixed = net.add(product, flat, blobs=[weight], suffix="mix")
    shape = (*bottom.shape[:axis], layer.rows, *bottom.shape[axis + 1 :])
    dims = tuple(
        -1 if axis_ != axis and bottom.carries_batch(axis_) else size
        for axis_, size in enumerate(shape)
    )
    return (net.add(Reshape(shape=dims), mixed),)


def _as_channels(bottom: Symbol, axis: int) -> Shape:
    """Return the shape (before, axis, 1, behind), -1 for the part that follows the batch."""
    following = [a for a in range(bottom.rank) if a != axis and bottom.carries_batch(a)]
    for other in following[1:]:
        bottom.static_size(other)  # refuses it: a Reshape finds one size by itself
    size, before, behind = bottom.shape[axis], bottom.shape[:axis], bottom.shape[axis + 1 :]
    if following and following[0] > axis:
        return (prod(before), size, 1, -1)
    return (-1, size, 1, prod(behind))


def by_columns(net: Emitter, call: LayerCall[AxisMatrix]) -> Tops:
    """Multiply an axis as image height, by a filter of that height per matrix row and group."""
    layer, bottom = call.layer, call.bottom
    outer, size, inner = split_shape(bottom, layer.axis, layer.axis)
    if outer * layer.rows * size > DENSE:
        raise Refused(f"needs at most {DENSE} weights, got {outer * layer.rows * size}")
    filters = Convolution(
        num_output=outer * layer.rows, group=outer, bias_term=False, kernel_h=size, kernel_w=1
    )
    weight = call.blobs[0].repeat(outer, 1).reshape(outer * layer.rows, 1, size, 1)
    image = as_image(net, bottom, (outer, size, inner))
    made = net.add(filters, image, blobs=[weight], suffix="rows")
    shape, other = (layer.top_shapes([sizes], 1)[0] for sizes in (bottom.shape, bottom.other_shape))
    return (reshaped(net, made, shape, other),)


def product_by_filters(net: Emitter, call: LayerCall[InnerProduct]) -> Tops | None:
    """Move the last axis to channels and back; one move applies the weight, the other none.

    before: InnerProduct{axis: 3} of (N,C,H,W)
    after:  Reshape (N,1,CH,W), Convolution 1xW, Deconvolution 1xnum_output, Reshape
    """
    layer, bottom = call.layer, call.bottom
    if layer.transpose or axis_of(layer.axis, bottom.rank) != bottom.rank - 1:
        return None
    return (_like(net, _rows(net, bottom, call.blobs[0], call.blobs[1:]), layer, bottom),)


def _like(net: Emitter, made: Symbol, layer: Layer, bottom: Symbol) -> Symbol:
    """Reshape to the shape that the layer gives."""
    shape, other = (layer.top_shapes([sizes], 1)[0] for sizes in (bottom.shape, bottom.other_shape))
    return reshaped(net, made, shape, other)


def _rows(net: Emitter, bottom: Symbol, weight: Tensor, bias: Sequence[Tensor]) -> Symbol:
    outer, size, _ = split_shape(bottom, bottom.rank - 1, bottom.rank - 1)
    image, rows = as_image(net, bottom, (1, outer, size)), len(weight)
    # The bias belongs to channels, so that only the first of the two layers can have it.
    added = bias if size < rows and rows * rows > DENSE else ()
    first, second, bias = weight, torch.eye(rows), () if added else bias
    if size < rows and not bias:
        first, second = torch.eye(size), weight.t()
    if max(first.numel(), second.numel()) > DENSE:
        raise Refused(f"needs a matrix of at most {DENSE} elements, got {tuple(weight.shape)}")
    into = Convolution(num_output=len(first), bias_term=bool(bias), kernel_h=1, kernel_w=size)
    blobs = [first.reshape(len(first), 1, 1, size), *bias]
    channels = net.add(into, image, blobs=blobs, suffix="channels")
    back = Deconvolution(
        num_output=1, bias_term=False, kernel_h=1, kernel_w=rows, stride_h=1, stride_w=rows
    )
    moved = second.reshape(len(first), 1, 1, rows)
    made = net.add(back, channels, blobs=[moved], suffix="rows")
    return net.add(Bias(axis=3), made, blobs=added, suffix="bias") if added else made


def product_of_rows(net: Emitter, call: LayerCall[InnerProduct]) -> Tops | None:
    """Join the axes before the product's to one axis of rows, and multiply those.

    before: InnerProduct{axis: 2}     after: Reshape to rows, InnerProduct{axis: 1}, Reshape
    """
    layer, bottom, blobs = call.layer, call.bottom, call.blobs
    axis = axis_of(layer.axis, bottom.rank)
    if layer.transpose:
        blobs = [blobs[0].t().contiguous(), *blobs[1:]]
    plain = layer.replace(axis=1, transpose=False)
    if axis == 1 and plain != layer:
        return (net.add(plain, bottom, blobs=blobs),)
    if axis == 1:
        return None
    rows = viewed(net, bottom, lambda s: (prod(s[:axis]), prod(s[axis:])), suffix="rows")
    made = net.add(plain, rows, blobs=blobs, suffix="product")
    shape, other = (layer.top_shapes([sizes], 1)[0] for sizes in (bottom.shape, bottom.other_shape))
    return (reshaped(net, made, shape, other),)
