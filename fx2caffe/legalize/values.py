"""Layers that a target has, but not with these values or on these axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from caffe2fx.layer import Layer, axis_of
from caffe2fx.layers import (
    LRN,
    AbsVal,
    Bias,
    Concat,
    Convolution,
    Deconvolution,
    Eltwise,
    EltwiseOp,
    Exp,
    Flatten,
    InnerProduct,
    Log,
    NormRegion,
    Power,
    ReLU,
    Reshape,
    Scale,
    Slice,
    Softmax,
)
from fx2caffe.emit import Emitter, Refused
from fx2caffe.legalize.rules import LayerCall, Tops
from fx2caffe.reshaping import reshaped, viewed


def axis_from_the_front(net: Emitter, call: LayerCall[Layer]) -> Tops | None:
    """before: Softmax{axis: -1} of 4 axes     after: Softmax{axis: 3}"""
    layer, bottoms = call.layer, call.bottoms
    axis = getattr(layer, "axis", None)
    if not isinstance(axis, int) or axis >= 0 or isinstance(layer, Reshape) or not bottoms:
        return None
    counted = layer.replace(axis=axis + bottoms[0].rank)
    return net.add_many(counted, *bottoms, blobs=call.blobs, tops=call.tops)


def from_before(net: Emitter, call: LayerCall[Reshape | Flatten]) -> Tops:
    """From what the bottom was before other reshapes; they may have axes that none then reads."""
    layer, bottoms = call.layer, call.bottoms
    bottom = source = bottoms[0]
    shape, other = (layer.top_shapes([sizes], 1)[0] for sizes in (bottom.shape, bottom.other))
    while source.value in net.views:
        source = net.views[source.value]
    partial = isinstance(layer, Reshape) and (layer.axis, layer.num_axes) != (0, -1)
    if source is not bottom or partial:
        return (reshaped(net, source, shape, other),)
    return (net.add_unread(layer, bottom),)


def product_of_rows(net: Emitter, call: LayerCall[InnerProduct]) -> Tops | None:
    """before: InnerProduct{axis: 2}     after: Reshape to rows, InnerProduct{axis: 1}, Reshape"""
    layer, bottom, blobs = call.layer, call.bottom, call.blobs
    axis = axis_of(layer.axis, bottom.rank)
    if layer.transpose:
        blobs = [blobs[0].t().contiguous(), *blobs[1:]]
    plain = layer.replace(axis=1, transpose=False)
    if axis == 1 and plain != layer:
        return (net.add(plain, bottom, blobs=blobs),)
    if axis == 1:
        return None
    rows = viewed(net, bottom, lambda s: (prod(s[:axis]), prod(s[axis:])), role="rows")
    made = net.add(plain, rows, blobs=blobs, role="product")
    shape, other = (layer.top_shapes([sizes], 1)[0] for sizes in (bottom.shape, bottom.other))
    return (reshaped(net, made, shape, other),)


def said_points(net: Emitter, call: LayerCall[Slice]) -> Tops | None:
    """before: Slice into 3 of 6     after: Slice{slice_point: 2 slice_point: 4}"""
    layer, bottom, tops = call.layer, call.bottom, call.tops
    if layer.slice_point or tops < 2:
        return None
    size = bottom.fixed(axis_of(layer.axis, bottom.rank))
    points = tuple(size * index // tops for index in range(1, tops))
    return net.add_many(layer.replace(slice_point=points), bottom, tops=tops)


def weighed_before(net: Emitter, call: LayerCall[Eltwise]) -> Tops | None:
    """before: Eltwise{SUM coeff: 1, 2, 3}     after: Power{scale: 2}, Power{scale: 3}, Eltwise"""
    layer, bottoms = call.layer, call.bottoms
    if not layer.coeff:
        return None
    terms = [
        bottom if factor == 1 else net.add(Power(scale=factor), bottom, role="weighed")
        for bottom, factor in zip(bottoms, layer.coeff, strict=True)
    ]
    return (net.add(layer.replace(coeff=()), *terms),)


def unit_k(net: Emitter, call: LayerCall[LRN]) -> Tops | None:
    """x / (k + a s)^b = k^-b x / (1 + a/k s)^b; within channels Caffe reads no k."""
    layer, bottom = call.layer, call.bottom
    if layer.k == 1:
        return None
    if layer.norm_region is NormRegion.WITHIN_CHANNEL:
        return (net.add(layer.replace(k=1.0), bottom),)
    unit = layer.replace(k=1.0, alpha=layer.alpha / layer.k)
    return (net.add(Power(scale=layer.k**-layer.beta), net.add(unit, bottom, role="unit")),)


def natural(net: Emitter, call: LayerCall[Log]) -> Tops | None:
    """before: Log{base: 2 scale shift}     after: Power{scale shift}, Log, Power{scale: 1/ln 2}"""
    layer, bottom = call.layer, call.bottom
    if layer == Log():
        return None
    if (layer.scale, layer.shift) != (1, 0):
        bottom = net.add(Power(scale=layer.scale, shift=layer.shift), bottom, role="inner")
    if layer.base == -1:
        return (net.add(Log(), bottom),)
    return (net.add(Power(scale=1 / math.log(layer.base)), net.add(Log(), bottom, role="log")),)


def both_sides(net: Emitter, call: LayerCall[AbsVal]) -> Tops:
    """|x| = relu(x) + relu(-x), of which one is 0."""
    bottom = call.bottom
    negative = net.add(ReLU(), net.add(Power(scale=-1), bottom, role="negative"), role="low")
    return (net.add(Eltwise(), net.add(ReLU(), bottom, role="high"), negative),)


def by_softmax(net: Emitter, call: LayerCall[Exp]) -> Tops:
    """e^x is what Softmax gives x beside 0, over what it gives the 0: exact to the last digits.

    before: Exp
    after:  Reshape (1,1,n,1), Power{scale: 0}, Concat, Softmax, Slice, Power{-1}, Eltwise{PROD}
    """
    layer, bottoms = call.layer, call.bottoms
    bottom, natural = bottoms[0], 1.0 if layer.base == -1 else math.log(layer.base)
    scale, shift = layer.scale * natural, layer.shift * natural
    if (scale, shift) != (1, 0):
        bottom = net.add(Power(scale=scale, shift=shift), bottom, role="exponent")
    flat = viewed(net, bottom, lambda s: (s[0], 1, prod(s[1:]), 1), role="flat")
    zero = net.add(Power(scale=0), flat, role="zero")
    pair = net.add(Concat(axis=1), flat, zero, role="pair")
    share = net.add(Softmax(axis=1), pair, role="softmax")
    cut = Slice(axis=1, slice_point=(1,))
    mine, other = net.add_many(cut, share, role="shares", tops=2)
    inverse = net.add(Power(power=-1), other, role="inverse")
    made = net.add(Eltwise(operation=EltwiseOp.PROD), mine, inverse, role="exp")
    return (reshaped(net, made, bottom.shape, bottom.other),)


def on_an_image(net: Emitter, call: LayerCall[Convolution | Deconvolution]) -> Tops | None:
    """One axis as the width of an image of height 1."""
    layer, bottoms, blobs = call.layer, call.bottoms, call.blobs
    if len(bottoms) != 1 or bottoms[0].rank != 3 or layer.axis != 1:
        return None
    kernel, stride, pad, dilation = layer.geometry(1)
    wide = type(layer)(
        num_output=layer.num_output,
        bias_term=layer.bias_term,
        group=layer.group,
        kernel_h=1,
        kernel_w=kernel[0],
        stride_h=1,
        stride_w=stride[0],
        pad_h=0,
        pad_w=pad[0],
        dilation=dilation,
    )
    image = viewed(net, bottoms[0], lambda s: (*s[:2], 1, s[2]), role="image")
    weight = blobs[0].reshape(*blobs[0].shape[:2], 1, -1)
    made = net.add(wide, image, blobs=[weight, *blobs[1:]], role="wide")
    return (viewed(net, made, lambda s: (*s[:2], s[3])),)


def spread_kernel(net: Emitter, call: LayerCall[Convolution | Deconvolution]) -> Tops | None:
    """before: kernel 3, dilation 2     after: kernel 5 with zeros between its numbers"""
    layer, bottoms, blobs = call.layer, call.bottoms, call.blobs
    kernel, _, _, dilation = layer.geometry(bottoms[0].rank - 2)
    if set(dilation) == {1} or len(kernel) != 2:
        return None
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    weight = torch.zeros(*blobs[0].shape[:2], *reach, dtype=blobs[0].dtype)
    weight[:, :, :: dilation[0], :: dilation[1]] = blobs[0]
    plain = layer.replace(dilation=(), kernel_size=(), kernel_h=reach[0], kernel_w=reach[1])
    return net.add_many(plain, *bottoms, blobs=[weight, *blobs[1:]], tops=call.tops)


def on_channels(net: Emitter, call: LayerCall[Scale | Bias]) -> Tops | None:
    """A blob over any axes as one over channels: the axes before as often as it is repeated.

    before: Scale{axis: 2 num_axes: 2} of (N,C,H,W)
    after:  Reshape (N,CHW,1,1), Scale with the blob C times, Reshape
    """
    layer, bottoms, blobs = call.layer, call.bottoms, call.blobs
    if len(bottoms) != 1:
        raise Refused("needs a blob, got a second bottom")
    bottom = bottoms[0]
    factor, shift = _factor_and_shift(layer, blobs)
    if factor.dim() == 0:
        return (net.add(Power(scale=float(factor), shift=float(shift)), bottom),)
    axis = axis_of(layer.axis, bottom.rank)
    lead = 1 if axis > 0 and bottom.rank > 1 else 0
    outer = prod(bottom.fixed(a) for a in range(lead, axis))
    inner = prod(bottom.fixed(a) for a in range(axis + factor.dim(), bottom.rank))
    blobs = [blob.flatten().repeat(outer) for blob in (factor, shift)]
    plain = Scale(bias_term=bool((shift != 0).any()))
    if plain.bias_term is False:
        blobs = blobs[:1]
    if (axis, factor.dim()) == (1, 1):
        if plain == layer:
            return None
        return (net.add(plain, bottom, blobs=blobs),)
    count = outer * factor.numel()
    image = viewed(net, bottom, lambda s: (prod(s[:lead]), count, inner, 1), role="image")
    made = net.add(plain, image, blobs=blobs, role="scaled")
    return (reshaped(net, made, bottom.shape, bottom.other),)


def _factor_and_shift(layer: Scale | Bias, blobs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    if isinstance(layer, Bias):
        return torch.ones_like(blobs[0]), blobs[0]
    return blobs[0], blobs[1] if layer.bias_term else torch.zeros_like(blobs[0])
