"""Layers by the sources of Caffe's forks, as loops over arrays: one function a record.

A twin takes the record, its bottoms and its blobs, and returns the tops. It reads the record's
fields and none of its methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from math import ceil, exp, floor, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe2fx.layers.detection import PriorBoxOffsets
from caffe2fx.layers.forks.activation import CReLU, HardSigmoid, HardSwish, SeLu, SeLuDropout
from caffe2fx.layers.forks.arithmetic import Correlation, MatMul, MatMulBatched
from caffe2fx.layers.forks.convolution import (
    Convolution3D,
    ConvolutionDepthwise,
    Deconvolution3D,
    DepthwiseConvolution,
    Pooling3D,
)
from caffe2fx.layers.forks.loss import SmoothL1Loss
from caffe2fx.layers.forks.normalization import BN, BNOfBoth, BNScale
from caffe2fx.layers.forks.position import UpsampleMask, UpsampleStride
from caffe2fx.layers.forks.shape import (
    CropCenter,
    Gather,
    Pad,
    PadND,
    PixelShuffle,
    Squeeze,
    Transpose,
    Unsqueeze,
)
from caffe2fx.layers.forks.synopsys import BatchNormEps, ReshapeShuffled, UpsampleDarknet
from caffe2fx.layers.forks.tensorflow import DepthToSpace
from caffe2fx.layers.forks.variants import BatchNormScaleBias, DropoutUnscaled, SpatialDropout
from caffe2fx.layers.layer import Layer
from caffe2fx.layers.proposal import Proposal
from caffe2fx.layers.regions import ROIAlign

Array = NDArray[np.float64]
Arrays = Sequence[Array]
Twin = Callable[[Any, Arrays, Arrays], tuple[Array, ...]]

TWINS: dict[type[Layer], Twin] = {}


def twin(*records: type[Layer]) -> Callable[[Twin], Twin]:
    """Take a function for the twin of some records."""

    def decorate(function: Twin) -> Twin:
        TWINS.update(dict.fromkeys(records, function))
        return function

    return decorate


def places(shape: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Return every index of an array of that shape."""
    return product(*map(range, shape))


def at_all(*index: Any) -> Any:
    """Return an index of the axes behind the first two, of which it takes all."""
    return (slice(None), slice(None), *index)


def each(bottom: Array, function: Callable[[float], float]) -> tuple[Array, ...]:
    return (np.array([function(float(x)) for x in bottom.ravel()]).reshape(bottom.shape),)


# Activations


@twin(CReLU)
def crelu(layer: CReLU, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    slope = layer.negative_slope
    (first,) = each(bottoms[0], lambda x: x if x > 0 else slope * x)
    (second,) = each(bottoms[0], lambda x: -x if x < 0 else slope * -x)
    return (np.concatenate([first, second], layer.concat_axis),)


@twin(HardSwish)
def hard_swish(layer: HardSwish, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    return each(bottoms[0], lambda x: 0.0 if x <= -3 else x if x >= 3 else x * (x + 3) / 6)


@twin(HardSigmoid)
def hard_sigmoid(layer: HardSigmoid, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    return each(bottoms[0], lambda x: min(1.0, max(0.0, layer.alpha * x + layer.beta)))


@twin(SeLu)
def selu(layer: SeLu, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    scale, alpha = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
    return each(bottoms[0], lambda x: scale * (x if x > 0 else alpha * exp(x) - alpha))


@twin(SeLuDropout, SpatialDropout, Gather)
def as_it_is(layer: Layer, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    return tuple(bottoms)


@twin(DropoutUnscaled)
def dropout_unscaled(layer: DropoutUnscaled, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    return (bottoms[0] if layer.scale_train else bottoms[0] * (1 - layer.dropout_ratio),)


# Moves


@twin(Transpose)
def transpose(layer: Transpose, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    (bottom,) = bottoms
    top = np.zeros([bottom.shape[axis] for axis in layer.dim])
    for place in places(top.shape):
        source = [0] * bottom.ndim
        for axis, at in zip(layer.dim, place, strict=True):
            source[axis] = at
        top[place] = bottom[tuple(source)]
    return (top,)


@twin(Pad)
def pad(layer: Pad, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    (bottom,) = bottoms
    n, c, height, width = bottom.shape
    top = np.full(
        (n, c, layer.pad_u + height + layer.pad_d, layer.pad_l + width + layer.pad_r),
        layer.pad_value,
    )
    for row, column in places(top.shape[2:]):
        y, x = row - layer.pad_u, column - layer.pad_l
        if layer.pad_type == 1:  # the nearest pixel
            y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
        if layer.pad_type == 2:  # mirrored, the edge not repeated
            y, x = (abs(at) if at < size else 2 * (size - 1) - at
                    for at, size in ((y, height), (x, width)))  # fmt: skip
        if 0 <= y < height and 0 <= x < width:
            top[:, :, row, column] = bottom[:, :, y, x]
    return (top,)


@twin(PadND)
def pad_axes(layer: PadND, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    (bottom,) = bottoms
    before, after = layer.paddings[::2], layer.paddings[1::2]
    top = np.full([sum(sides) for sides in zip(before, bottom.shape, after, strict=True)],
                  layer.constant_values)  # fmt: skip
    for place in places(bottom.shape):
        top[tuple(at + first for at, first in zip(place, before, strict=True))] = bottom[place]
    return (top,)


def shuffled(bottom: Array, r: int) -> tuple[Array, ...]:
    n, c, height, width = bottom.shape
    top = np.zeros((n, c // r**2, height * r, width * r))
    for image, channel, y, x in places(top.shape):
        source = channel * r * r + (y % r) * r + x % r
        top[image, channel, y, x] = bottom[image, source, y // r, x // r]
    return (top,)


@twin(PixelShuffle)
def pixel_shuffle(layer: PixelShuffle, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    return shuffled(bottoms[0], layer.upscale_factor)


@twin(ReshapeShuffled)
def reshape_shuffled(layer: ReshapeShuffled, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    return shuffled(bottoms[0], layer.pixelshuffler)


@twin(DepthToSpace)
def depth_to_space(layer: DepthToSpace, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    block, last = layer.block_size, layer.data_format == "NHWC"
    bottom = bottoms[0] if last else np.moveaxis(bottoms[0], 1, 3)
    n, height, width, depth = bottom.shape
    top = np.zeros((n, height * block, width * block, depth // block**2))
    for image, y, x, d in places(top.shape):
        source = (y % block * block + x % block) * top.shape[3] + d
        top[image, y, x, d] = bottom[image, y // block, x // block, source]
    return (top if last else np.moveaxis(top, 3, 1),)


@twin(Squeeze)
def squeeze(layer: Squeeze, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    return (np.squeeze(bottoms[0], layer.axis or None),)


@twin(Unsqueeze)
def unsqueeze(layer: Unsqueeze, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    return (np.expand_dims(bottoms[0], layer.dim),)


@twin(CropCenter)
def crop_center(layer: CropCenter, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    sides = zip(layer.crop_size, bottoms[0].shape, strict=True)
    return (bottoms[0][tuple(slice(crop, size - crop) for crop, size in sides)],)


def repeated(bottom: Array, height: int, width: int) -> Array:
    n, c, h, w = bottom.shape
    top = np.zeros((n, c, h * height, w * width))
    for y, x in places(top.shape[2:]):
        top[:, :, y, x] = bottom[:, :, y // height, x // width]
    return top


@twin(UpsampleStride)
def upsample_stride(layer: UpsampleStride, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    height, width = (
        layer.stride if own is None else own for own in (layer.stride_h, layer.stride_w)
    )
    return (repeated(bottoms[0], height, width) * layer.scale,)


@twin(UpsampleDarknet)
def upsample_darknet(layer: UpsampleDarknet, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    return (repeated(bottoms[0], layer.stride, layer.stride),)


@twin(UpsampleMask)
def upsample_mask(layer: UpsampleMask, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    bottom, mask = bottoms
    n, c, h, w = bottom.shape
    height = h * (layer.scale_h or layer.scale) - layer.pad_out_h
    width = w * (layer.scale_w or layer.scale) - layer.pad_out_w
    if layer.upsample_h and layer.upsample_w:
        height, width = layer.upsample_h, layer.upsample_w
    top = np.zeros((n, c, height * width))
    for image, channel, y, x in places(bottom.shape):
        top[image, channel, int(mask[image, channel, y, x])] = bottom[image, channel, y, x]
    return (top.reshape(n, c, height, width),)


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
    for row, column, at in places((layer.dim_1, layer.dim_3, layer.dim_2)):
        top[row, column] += one[row * layer.dim_2 + at] * two[column * layer.dim_2 + at]
    return (top,)


@twin(MatMulBatched)
def matmul_batched(layer: MatMulBatched, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    one = np.moveaxis(bottoms[0], -1, -2) if layer.transpose_a else bottoms[0]
    two = bottoms[1] if layer.transpose_b else np.moveaxis(bottoms[1], -1, -2)
    return ((one[..., :, None, :] * two[..., None, :, :]).sum(-1),)


@twin(Correlation)
def correlation(layer: Correlation, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    one, two = (np.pad(b, ((0, 0), (0, 0), *((layer.pad,) * 2,) * 2)) for b in bottoms)
    radius, far = layer.kernel_size // 2, layer.max_displacement
    reach, border = far // layer.stride_2, layer.max_displacement + layer.kernel_size // 2
    wide = 2 * reach + 1
    sizes = [ceil((size - 2 * border) / layer.stride_1) for size in one.shape[2:]]
    top = np.zeros((one.shape[0], wide**2, *sizes))
    for channel, y, x in places(top.shape[1:]):
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
    for f, *place in places((filters, *out)):
        first = f // (filters // group) * own
        for tap in places(kernel):
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
    for place, tap in product(places(bottom.shape[2:]), places(weight.shape[2:])):
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
    for place in places(out):
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


@twin(SmoothL1Loss)
def smooth_l1(layer: SmoothL1Loss, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    flat, square, total = [bottom.ravel() for bottom in bottoms], layer.sigma**2, 0.0
    for x, y, *weights in zip(*flat, strict=True):
        apart = abs((x - y) * (weights[0] if weights else 1))
        term = 0.5 * square * apart**2 if apart < 1 / square else apart - 0.5 / square
        total += term * (weights[1] if weights else 1)
    return (np.array(total / len(bottoms[0])),)


# Regions


def sampled(map_: Array, y: float, x: float) -> Array:
    """Return every channel between its pixels; 0 beyond one pixel from the edge."""
    height, width = map_.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return np.zeros(map_.shape[0])
    y, x = min(max(y, 0.0), height - 1), min(max(x, 0.0), width - 1)
    top, left = floor(y), floor(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = map_[:, top, left] * (1 - x + left) + map_[:, top, right] * (x - left)
    lower = map_[:, bottom, left] * (1 - x + left) + map_[:, bottom, right] * (x - left)
    return upper * (1 - y + top) + lower * (y - top)


@twin(ROIAlign)
def roi_align(layer: ROIAlign, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    maps, regions = bottoms
    top = np.zeros((len(regions), maps.shape[1], layer.pooled_h, layer.pooled_w))
    for index, (image, *ends) in enumerate(regions):
        left, up, right, down = (end * layer.spatial_scale for end in ends)
        high = max(down - up, 1) / layer.pooled_h
        wide = max(right - left, 1) / layer.pooled_w
        rows, columns = ceil(high), ceil(wide)
        for y, x in places(top.shape[2:]):
            samples = [
                sampled(maps[int(image)], up + (y + (i + 0.5) / rows) * high,
                        left + (x + (j + 0.5) / columns) * wide)
                for i, j in places((rows, columns))
            ]  # fmt: skip
            top[index, :, y, x] = sum(samples) / len(samples)
    return (top,)


def overlap(one: Sequence[float], two: Sequence[float]) -> float:
    """Return the intersection over the union of two boxes of whole pixels."""
    wide = min(one[2], two[2]) - max(one[0], two[0]) + 1
    high = min(one[3], two[3]) - max(one[1], two[1]) + 1
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (one, two)]
    both = max(wide, 0) * max(high, 0)
    return both / (sum(areas) - both)


def first_anchors(layer: Proposal) -> list[tuple[float, ...]]:
    """Return the anchors of the first position: squares of one area, by ratio, then by scale."""
    middle, found = (layer.base_size - 1) / 2, []
    for ratio, scale in product(layer.ratio, layer.scale):
        width = round(sqrt(layer.base_size**2 / ratio))
        sides = (width * scale, round(width * ratio) * scale)
        found.append((*(middle - (side - 1) / 2 for side in sides),
                      *(middle + (side - 1) / 2 for side in sides)))  # fmt: skip
    return found


@twin(Proposal)
def proposal(layer: Proposal, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    scores, moves, image = bottoms[0][0], bottoms[1][0], bottoms[2].ravel()
    base = first_anchors(layer)
    found: list[tuple[float, list[float]]] = []
    for y, x, at in places((*scores.shape[1:], len(base))):
        ends = []
        for side in (0, 1):
            shift, growth = moves[4 * at + side, y, x], moves[4 * at + 2 + side, y, x]
            first, last = (base[at][side + end] + (x, y)[side] * layer.feat_stride
                           for end in (0, 2))  # fmt: skip
            length = last - first + 1
            centre, half = first + length / 2 + shift * length, exp(growth) * length / 2
            ends.append([min(max(end, 0.0), image[1 - side] - 1)
                         for end in (centre - half, centre + half)])  # fmt: skip
        (left, right), (top, bottom) = ends
        is_large = min(right - left, bottom - top) + 1 >= layer.min_size * image[2]
        score = float(scores[len(base) + at, y, x]) if is_large else 0.0
        found.append((score, [left, top, right, bottom]))
    found.sort(key=lambda pair: -pair[0])
    kept: list[tuple[float, list[float]]] = []
    for score, one in found[: layer.pre_nms_topn]:
        if all(overlap(one, other) <= layer.nms_thresh for _, other in kept):
            kept.append((score, one))
    kept = kept[: layer.post_nms_topn]
    regions = np.array([[0.0, *one] for _, one in kept])
    return regions, np.array([[score] for score, _ in kept])


@twin(PriorBoxOffsets)
def prior_boxes(layer: PriorBoxOffsets, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    (rows, columns), (high, wide) = (bottom.shape[2:] for bottom in bottoms)
    boxes = list(zip(layer.width, layer.height, strict=True))
    for size in layer.min_size:
        boxes.append((size, size))
        for ratio in layer.aspect_ratio:
            boxes += [(size * sqrt(ratio), size / sqrt(ratio)),
                      (size / sqrt(ratio), size * sqrt(ratio))][: 1 + layer.flip]  # fmt: skip
    offsets = list(zip(layer.offset_w, layer.offset_h, strict=True)) or [(layer.offset,) * 2]
    corners = []
    for y, x in places((rows, columns)):
        for (width, height), (right, down) in product(boxes, offsets):
            centre = (x + right) * wide / columns, (y + down) * high / rows
            for sign in (-1, 1):
                corners += [(centre[0] + sign * width / 2) / wide,
                            (centre[1] + sign * height / 2) / high]  # fmt: skip
    made = np.array(corners).clip(0, 1) if layer.clip else np.array(corners)
    return (np.stack([made, np.resize(layer.variance, len(made))])[None],)
