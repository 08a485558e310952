"""Twins of activations, and of layers that move or repeat elements."""

from __future__ import annotations

from math import exp

import numpy as np

from caffe2fx.layers.forks.activation import CReLU, HardSigmoid, HardSwish, SeLu, SeLuDropout
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
from caffe2fx.layers.forks.synopsys import ReshapeShuffled, UpsampleDarknet
from caffe2fx.layers.forks.tensorflow import DepthToSpace
from caffe2fx.layers.forks.variants import DropoutUnscaled, SpatialDropout
from caffe2fx.layers.layer import Layer
from tests.layers.forks.twin import Array, Arrays, each, indices, twin

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
    for place in indices(top.shape):
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
    for row, column in indices(top.shape[2:]):
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
    for place in indices(bottom.shape):
        top[tuple(at + first for at, first in zip(place, before, strict=True))] = bottom[place]
    return (top,)


def shuffled(bottom: Array, r: int) -> tuple[Array, ...]:
    n, c, height, width = bottom.shape
    top = np.zeros((n, c // r**2, height * r, width * r))
    for image, channel, y, x in indices(top.shape):
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
    for image, y, x, d in indices(top.shape):
        source = (y % block * block + x % block) * top.shape[3] + d
        if layer.data_format == "CRD":
            source = (d * block + y % block) * block + x % block
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
    for y, x in indices(top.shape[2:]):
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
    for image, channel, y, x in indices(bottom.shape):
        top[image, channel, int(mask[image, channel, y, x])] = bottom[image, channel, y, x]
    return (top.reshape(n, c, height, width),)
