"""Decompositions of Convolution and Deconvolution."""

from __future__ import annotations

import torch
from torch import nn

from caffe2fx.layers import Convolution, Deconvolution
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.reshape import viewed
from fx2caffe.legalize.rule import LayerCall, Tops


def one_axis_as_image_width(
    net: Emitter, call: LayerCall[Convolution | Deconvolution]
) -> Tops | None:
    """Run on an image of height 1 whose width is the one spatial axis."""
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
    image = viewed(net, bottoms[0], lambda s: (*s[:2], 1, s[2]), suffix="image")
    weight = blobs[0].reshape(*blobs[0].shape[:2], 1, -1)
    made = net.add(wide, image, blobs=[weight, *blobs[1:]], suffix="convolution")
    return (viewed(net, made, lambda s: (*s[:2], s[3])),)


def dilated_kernel_with_zeros(
    net: Emitter, call: LayerCall[Convolution | Deconvolution]
) -> Tops | None:
    """Write the dilation into the kernel, as zeros between its weights.

    before: kernel 3, dilation 2     after: kernel 5 with zeros between its weights
    """
    layer, bottoms, blobs = call.layer, call.bottoms, call.blobs
    kernel, _, _, dilation = layer.geometry(bottoms[0].rank - 2)
    if set(dilation) == {1} or len(kernel) != 2:
        return None
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    weight = torch.zeros(*blobs[0].shape[:2], *reach, dtype=blobs[0].dtype)
    weight[:, :, :: dilation[0], :: dilation[1]] = blobs[0]
    plain = layer.replace(dilation=(), kernel_size=(), kernel_h=reach[0], kernel_w=reach[1])
    return net.add_many(plain, *bottoms, blobs=[weight, *blobs[1:]], tops=call.tops)


def kernel_within_padding(net: Emitter, call: LayerCall[Convolution]) -> Tops | None:
    """Drop both ends of the kernel where they meet padding alone.

    before: kernel 3, pad 1 on an axis of one element     after: kernel 1, the middle of it
    """
    layer, blobs = call.layer, call.blobs
    kernel, stride, pad, dilation = layer.geometry(call.bottoms[0].rank - 2)
    if set(dilation) != {1} or len(kernel) != 2 or len(call.bottoms) != 1:
        return None
    sizes = call.bottom.shape[2:]
    ends = [_ends(*axis) for axis in zip(sizes, kernel, stride, pad, strict=True)]
    if not any(ends):
        return None
    (top, left), (high, wide) = ends, kernel
    inner = layer.replace(kernel_size=(), kernel_h=high - 2 * top, kernel_w=wide - 2 * left)
    inner = inner.replace(pad=(), pad_h=pad[0] - top, pad_w=pad[1] - left)
    weight = blobs[0][:, :, top : high - top, left : wide - left]
    return (net.add(inner, call.bottom, blobs=[weight, *blobs[1:]]),)


def _ends(size: int, kernel: int, stride: int, pad: int) -> int:
    """Count the elements at either end of a kernel that meet no element of the axis."""
    starts = range(-pad, size + pad - kernel + 1, stride)
    met = [any(0 <= start + index < size for start in starts) for index in range(kernel)]
    return min(met.index(True), met[::-1].index(True), pad) if any(met) else 0


def padding_by_zeros(net: Emitter, call: LayerCall[Deconvolution]) -> Tops | None:
    """Pad the kernel of a Deconvolution with zeros, and cut as much more of the top.

    before: Deconvolution of kernel 1, pad 1     after: kernel 3, padded with zeros, pad 2
    """
    layer = call.layer
    kernel, _, pad, _ = layer.geometry(call.bottom.rank - 2)
    if set(kernel) != {1} or not any(pad) or len(kernel) != 2:
        return None
    weight = nn.functional.pad(call.blobs[0], (1, 1, 1, 1))
    plain = layer.replace(kernel_size=(), kernel_h=3, kernel_w=3)
    plain = plain.replace(pad=(), pad_h=pad[0] + 1, pad_w=pad[1] + 1)
    return (net.add(plain, call.bottom, blobs=[weight, *call.blobs[1:]]),)
