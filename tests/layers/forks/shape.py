"""Rows and twins of forks' layers that move or drop elements and axes."""

from __future__ import annotations

import numpy as np

from caffe2fx.layers.forks.shape import (
    CropCenter,
    Gather,
    Pad,
    Padding,
    PadND,
    PadType,
    Permute,
    PixelShuffle,
    Reverse,
    ShuffleChannel,
    Squeeze,
    Transpose,
    Unsqueeze,
)
from tests.layers.forks.row import IMAGE
from tests.layers.forks.twin import Array, Arrays, indices, shuffled, twin
from tests.layers.row import Row

ROWS = (
    Row("permute", Permute(order=(0, 2, 3, 1)), (IMAGE,)),
    Row("permute of some", Permute(order=(2,)), (IMAGE,)),
    Row("transpose", Transpose(dim=(3, 2, 0, 1)), (IMAGE,)),
    Row("shuffle", ShuffleChannel(group=2), (IMAGE,)),
    Row("shuffle of rank 2", ShuffleChannel(group=2), ((2, 4),)),
    Row("shuffle of rank 3", ShuffleChannel(group=4), ((2, 8, 3),)),
    Row("reverse", Reverse(axis=(1, -1)), (IMAGE,)),
    Row("reverse one axis", Reverse(axis=(2,)), (IMAGE,)),
    Row("padding", Padding(pad_l=1, pad_r=2, pad_t=3, pad_b=4, pad_value=5), (IMAGE,)),
    Row("pad", Pad(pad_l=1, pad_r=2, pad_u=3, pad_d=4, pad_value=0.5), (IMAGE,)),
    Row("pad reflect", Pad(pad_l=1, pad_type=PadType.REFLECT), (IMAGE,)),
    Row("pad replicate", Pad(pad_d=3, pad_type=PadType.REPLICATE), (IMAGE,)),
    Row("pad axes", PadND(paddings=(0, 0, 1, 2, 0, 3), constant_values=0.5), ((2, 3, 4),)),
    Row("pixel shuffle", PixelShuffle(upscale_factor=2), (IMAGE,)),
    Row("squeeze", Squeeze(axis=(-1,)), ((2, 1, 3, 1),)),
    Row("squeeze all", Squeeze(), ((2, 1, 3, 1),)),
    Row("unsqueeze", Unsqueeze(dim=-1), ((2, 3),)),
    Row("crop centre", CropCenter(crop_size=(0, 0, 1, 2)), (IMAGE,)),
    Row("gather", Gather(), (IMAGE, (2, 1)), 2),
)  # fmt: skip


@twin(Transpose)
def transpose(layer: Transpose, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    (bottom,) = bottoms
    top = np.zeros([bottom.shape[axis] for axis in layer.dim])
    for index in indices(top.shape):
        source = [0] * bottom.ndim
        for axis, at in zip(layer.dim, index, strict=True):
            source[axis] = at
        top[index] = bottom[tuple(source)]
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
    for index in indices(bottom.shape):
        top[tuple(at + first for at, first in zip(index, before, strict=True))] = bottom[index]
    return (top,)


@twin(PixelShuffle)
def pixel_shuffle(layer: PixelShuffle, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    return shuffled(bottoms[0], layer.upscale_factor)


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


@twin(Gather)
def gather(layer: Gather, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    return tuple(bottoms)
