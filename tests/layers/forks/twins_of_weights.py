"""Twins of layers with weights or statistics, of products, and of poolings of videos."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import ceil, floor
from typing import Any

import numpy as np

from caffe2fx.layers.forks.arithmetic import Correlation, MatMul, MatMulBatched
from caffe2fx.layers.forks.convolution import (
    Convolution3D,
    ConvolutionDepthwise,
    Deconvolution3D,
    DepthwiseConvolution,
    Pooling3D,
)
from caffe2fx.layers.forks.normalization import BN, BNOfBoth, BNScale
from caffe2fx.layers.forks.synopsys import BatchNormEps
from caffe2fx.layers.forks.variants import BatchNormScaleBias
from caffe2fx.layers.forks.warp import Warp
from tests.layers.forks.twin import Array, Arrays, at_all, indices, twin

# Normalizations


def by_channel(blob: Array, rank: int) -> Array:
    return blob.reshape(1, -1, *(1,) * (rank - 2))


def statistics(blobs: Arrays, rank: int) -> tuple[Array, Array]:
    """Return the mean and the variance that BatchNorm's three blobs hold."""
    factor = 0.0 if blobs[2][0] == 0 else 1 / blobs[2][0]
    return by_channel(blobs[0], rank) * factor, by_channel(blobs[1], rank) * factor


def moments(bottom: Array) -> tuple[Array, Array]:
    """Return the mean and the variance of the batch, for each channel."""
    axes = tuple(axis for axis in range(bottom.ndim) if axis != 1)
    mean = bottom.mean(axes, keepdims=True)
    return mean, (bottom**2).mean(axes, keepdims=True) - mean**2


@twin(BatchNormEps)
def batch_norm_eps(layer: BatchNormEps, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    mean, variance = statistics(blobs, bottoms[0].ndim)
    inside = layer.add_eps_before_sqrt
    deviation = np.sqrt(variance + layer.eps) if inside else np.sqrt(variance) + layer.eps
    return ((bottoms[0] - mean) / deviation,)


@twin(BatchNormScaleBias)
def batch_norm_scale_bias(
    layer: BatchNormScaleBias, bottoms: Arrays, blobs: Arrays
) -> tuple[Array, ...]:
    bottom = bottoms[0]
    of_batch = layer.use_global_stats is False
    mean, variance = moments(bottom) if of_batch else statistics(blobs, bottom.ndim)
    top = (bottom - mean) / np.sqrt(variance + layer.eps)
    if layer.scale_bias:
        top = top * by_channel(blobs[3], bottom.ndim) + by_channel(blobs[4], bottom.ndim)
    return (top,)


@twin(BN, BNScale, BNOfBoth)
def bn(layer: BN | BNScale | BNOfBoth, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    (bottom,), (slope, shift, *kept) = bottoms, blobs
    if kept:
        assert not isinstance(layer, BNScale)
        return ((bottom - kept[0]) / np.sqrt(kept[1] + layer.eps) * slope + shift,)
    if isinstance(layer, BNScale) and layer.bn_mode == 0:
        mean, variance = moments(bottom)
        bottom = (bottom - mean) / np.sqrt(variance + 1e-9)
    return (bottom * slope + shift,)


# Sums of products


@twin(MatMul)
def matmul(layer: MatMul, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    one, two = (bottom.ravel() for bottom in bottoms)
    top = np.zeros((layer.dim_1, layer.dim_3))
    for row, column, at in indices((layer.dim_1, layer.dim_3, layer.dim_2)):
        top[row, column] += one[row * layer.dim_2 + at] * two[column * layer.dim_2 + at]
    return (top,)


@twin(MatMulBatched)
def matmul_batched(layer: MatMulBatched, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    one = np.moveaxis(bottoms[0], -1, -2) if layer.transpose_a else bottoms[0]
    two = bottoms[1] if layer.transpose_b else np.moveaxis(bottoms[1], -1, -2)
    return ((one[..., :, None, :] * two[..., None, :, :]).sum(-1),)


@twin(Warp)
def warp(layer: Warp, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    image, flow = bottoms
    height, width = image.shape[2:]
    top = np.zeros(image.shape)
    for n, c, row, column in indices(image.shape):
        x, y = column + flow[n, 0, row, column], row + flow[n, 1, row, column]
        if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
            continue
        left, up, right, down = floor(x), floor(y), ceil(x), ceil(y)
        map_ = image[n, c]
        top[n, c, row, column] = (
            (1 - x + left) * (1 - y + up) * map_[up, left]
            + (x - left) * (1 - y + up) * map_[up, right]
            + (1 - x + left) * (y - up) * map_[down, left]
            + (x - left) * (y - up) * map_[down, right]
        )
    return (top,)


@twin(Correlation)
def correlation(layer: Correlation, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    one, two = (np.pad(b, ((0, 0), (0, 0), *((layer.pad,) * 2,) * 2)) for b in bottoms)
    radius, far = layer.kernel_size // 2, layer.max_displacement
    reach, border = far // layer.stride_2, layer.max_displacement + layer.kernel_size // 2
    wide = 2 * reach + 1
    sizes = [ceil((size - 2 * border) / layer.stride_1) for size in one.shape[2:]]
    top = np.zeros((one.shape[0], wide**2, *sizes))
    for channel, y, x in indices(top.shape[1:]):
        down = (channel // wide - reach) * layer.stride_2
        right = (channel % wide - reach) * layer.stride_2
        row, column = y * layer.stride_1 + far + radius, x * layer.stride_1 + far + radius
        first, second = (
            map_[:, :, down_ + row - radius : down_ + row + radius + 1,
                 right_ + column - radius : right_ + column + radius + 1]
            for map_, down_, right_ in ((one, 0, 0), (two, down, right))
        )  # fmt: skip
        terms = first * second if layer.correlation_type == 0 else abs(first - second)
        top[:, channel, y, x] = terms.sum((1, 2, 3)) / terms[0].size
    return (top,)


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


@twin(DepthwiseConvolution, ConvolutionDepthwise)
def depthwise(layer: Any, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    stride = layer.stride or tuple(side for side in (layer.stride_h, layer.stride_w) if side)
    pad = layer.pad or tuple(side for side in (layer.pad_h, layer.pad_w) if side is not None)
    fields = ((stride, 1), (pad, 0), (layer.dilation, 1))
    axes = zip(*(of_both_sides(*field) for field in fields), strict=True)
    return with_bias(convolved(bottoms[0], blobs[0], bottoms[0].shape[1], *axes), blobs)


def of_video(layer: Convolution3D | Deconvolution3D) -> list[tuple[int, int, int]]:
    stride, pad = of_both_sides(layer.stride, 1)[0], of_both_sides(layer.pad, 0)[0]
    return [(layer.temporal_stride, layer.temporal_pad, 1), *((stride, pad, 1),) * 2]


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
