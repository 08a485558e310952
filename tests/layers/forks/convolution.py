"""Rows and twins of forks' layers that convolve by channel, or videos."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import ceil
from typing import Any

import numpy as np

from caffe2fx.layers.forks.convolution import (
    Convolution3D,
    ConvolutionDepthwise,
    Deconvolution3D,
    DepthwiseConvolution,
    Pooling3D,
)
from caffe2fx.layers.pooling import PoolMethod
from tests.layers.forks.row import IMAGE, VIDEO
from tests.layers.forks.twin import Array, Arrays, at_all, by_channel, indices, twin
from tests.layers.row import Row

ROWS = (
    Row("depthwise", DepthwiseConvolution(num_output=4, group=4, kernel_size=(3,)), (IMAGE,)),
    Row("convolution depthwise", ConvolutionDepthwise(
        num_output=4, kernel_size=(3,), stride=(2,), pad=(1,), bias_term=False), (IMAGE,)),
    Row("convolution depthwise of rknn", ConvolutionDepthwise(num_output=4, kernel_size=(3,)),
        (IMAGE,), as_text="convolution_depthwise_param { num_output: 4 kernel_size: 3 }"),
    Row("convolution depthwise plain", ConvolutionDepthwise(num_output=4, kernel_size=(3,)),
        (IMAGE,)),
    Row("convolution depthwise rectangular", ConvolutionDepthwise(
        num_output=4, group=2, kernel_size=(3, 1), stride=(1, 2), pad=(1, 0), dilation=(2,)),
        (IMAGE,)),
    Row("convolution 3d", Convolution3D(
        num_output=3, kernel_size=(3,), kernel_depth=2, pad=(1,), temporal_pad=1,
        stride=(2,), temporal_stride=3), (VIDEO,)),
    Row("deconvolution 3d", Deconvolution3D(
        num_output=3, kernel_size=(2,), kernel_depth=3, stride=(2,), temporal_stride=2,
        temporal_pad=1), (VIDEO,)),
    Row("pooling 3d", Pooling3D(kernel_size=2, stride=2, kernel_depth=2, temporal_stride=2),
        (VIDEO,)),
    Row("pooling 3d ave", Pooling3D(
        kernel_size=3, stride=2, pad=1, kernel_depth=2, temporal_stride=2, temporal_pad=1,
        pool=PoolMethod.AVE), (VIDEO,)),
)  # fmt: skip


def convolved(bottom: Array, weight: Array, group: int, *axes: Sequence[int]) -> Array:
    """Sum over the windows of the last axes, each given by stride, pad and dilation."""
    filters, own, *kernel = weight.shape
    out = [
        (size + 2 * pad - dilation * (k - 1) - 1) // stride + 1
        for size, k, (stride, pad, dilation) in zip(bottom.shape[2:], kernel, axes, strict=True)
    ]
    top = np.zeros((bottom.shape[0], filters, *out))
    for f, *place in indices((filters, *out)):
        first = f // (filters // group) * own
        for tap in indices(kernel):
            source = [at * s - p + d * t for at, t, (s, p, d) in zip(place, tap, axes, strict=True)]
            if all(0 <= at < size for at, size in zip(source, bottom.shape[2:], strict=True)):
                read = bottom[:, first : first + own][at_all(*source)]
                top[:, f : f + 1][at_all(*place)] += read @ weight[f : f + 1][at_all(*tap)].T
    return top


def with_bias(top: Array, blobs: Arrays) -> tuple[Array, ...]:
    return (top + by_channel(blobs[1], top.ndim) if len(blobs) > 1 else top,)


def of_both_sides(given: Sequence[int], default: int) -> tuple[int, int]:
    """Return the value for height and for width of a list of none, one or two."""
    sides = (*given, *given)[:2] or (default, default)
    return sides[0], sides[1]


def of_video(layer: Convolution3D | Deconvolution3D) -> list[tuple[int, int, int]]:
    stride, pad = of_both_sides(layer.stride, 1)[0], of_both_sides(layer.pad, 0)[0]
    return [(layer.temporal_stride, layer.temporal_pad, 1), *((stride, pad, 1),) * 2]


@twin(DepthwiseConvolution, ConvolutionDepthwise)
def depthwise(layer: Any, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    stride = layer.stride or tuple(side for side in (layer.stride_h, layer.stride_w) if side)
    pad = layer.pad or tuple(side for side in (layer.pad_h, layer.pad_w) if side is not None)
    fields = ((stride, 1), (pad, 0), (layer.dilation, 1))
    axes = zip(*(of_both_sides(*field) for field in fields), strict=True)
    return with_bias(convolved(bottoms[0], blobs[0], bottoms[0].shape[1], *axes), blobs)


@twin(Convolution3D)
def convolution_3d(layer: Convolution3D, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    return with_bias(convolved(bottoms[0], blobs[0], 1, *of_video(layer)), blobs)


@twin(Deconvolution3D)
def deconvolution_3d(layer: Deconvolution3D, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    (bottom,), weight, axes = bottoms, blobs[0], of_video(layer)
    sizes = zip(bottom.shape[2:], weight.shape[2:], axes, strict=True)
    out = [(size - 1) * s - 2 * p + k for size, k, (s, p, _) in sizes]
    top = np.zeros((bottom.shape[0], weight.shape[1], *out))
    for place, tap in product(indices(bottom.shape[2:]), indices(weight.shape[2:])):
        to = [at * s - p + t for at, t, (s, p, _) in zip(place, tap, axes, strict=True)]
        if all(0 <= at < size for at, size in zip(to, out, strict=True)):
            top[at_all(*to)] += bottom[at_all(*place)] @ weight[at_all(*tap)]
    return with_bias(top, blobs)


@twin(Pooling3D)
def pooling_3d(layer: Pooling3D, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    (bottom,), side = bottoms, layer.kernel_size
    assert side is not None
    axes = [(layer.kernel_depth, layer.temporal_stride, layer.temporal_pad),
            *((side, layer.stride, layer.pad),) * 2]  # fmt: skip
    out = []
    for size, (kernel, stride, before) in zip(bottom.shape[2:], axes, strict=True):
        count = ceil((size + 2 * before - kernel) / stride) + 1
        padded = layer.pad or layer.temporal_pad
        out.append(count - 1 if padded and (count - 1) * stride >= size + before else count)
    top = np.zeros((*bottom.shape[:2], *out))
    for place in indices(out):
        spans, whole = [], 1
        for at, size, (kernel, stride, before) in zip(place, bottom.shape[2:], axes, strict=True):
            begin = at * stride - before
            end = min(begin + kernel, size + before)
            whole *= end - begin
            spans.append(slice(max(begin, 0), min(end, size)))
        window = bottom[at_all(*spans)].reshape(*bottom.shape[:2], -1)
        values = window.max(-1) if layer.pool == 0 else window.sum(-1) / whole
        top[at_all(*place)] = values
    return (top,)
