"""Rows and twins of forks' layers that move elements between channels and positions."""

from __future__ import annotations

import numpy as np

from caffe2fx.layers.forks.position import Reorg, ReorgSpace, Upsample, UpsampleMask, UpsampleStride
from tests.layers.forks.row import IMAGE
from tests.layers.forks.twin import Array, Arrays, indices, repeated, twin
from tests.layers.row import Row

ROWS = (
    Row("reorg", Reorg(stride=2), (IMAGE,)),
    Row("reorg reverse", Reorg(stride=2, reverse=True), (IMAGE,)),
    Row("reorg to depth", ReorgSpace(stride=2), (IMAGE,)),
    Row("reorg to depth reverse", ReorgSpace(stride=2, reverse=True), ((2, 16, 2, 3),)),
    Row("upsample", Upsample(scale=3), (IMAGE,)),
    Row("upsample stride", UpsampleStride(scale=2, stride=3), (IMAGE,)),
    Row("upsample stride h w", UpsampleStride(stride_h=3, stride_w=1), (IMAGE,)),
    Row("upsample mask", UpsampleMask(), ((1, 1, 2, 2),) * 2, values=((), (0, 3, 9, 14))),
    Row("upsample mask scale 2", UpsampleMask(), ((2, 3, 2, 2),) * 2,
        values=((), (0, 3, 9, 14) * 6), as_text="upsample_param { scale: 2 }"),
    Row("upsample mask scale", UpsampleMask(scale=3), ((1, 1, 1, 2),) * 2, values=((), (0, 17))),
    Row("upsample mask pad", UpsampleMask(pad_out_h=True, pad_out_w=True), ((1, 1, 2, 2),) * 2,
        values=((), (0, 2, 6, 8)),
        as_text="upsample_param { scale: 2 pad_out_h: true pad_out_w: true }"),
    Row("upsample mask h w", UpsampleMask(scale_h=2, scale_w=3), ((1, 1, 1, 1),) * 2,
        values=((), (5,))),
    Row("upsample mask to", UpsampleMask(upsample_h=4, upsample_w=5), ((1, 1, 1, 2),) * 2,
        values=((), (19, 0))),
)  # fmt: skip


@twin(UpsampleStride)
def upsample_stride(layer: UpsampleStride, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    height, width = (
        layer.stride if own is None else own for own in (layer.stride_h, layer.stride_w)
    )
    return (repeated(bottoms[0], height, width) * layer.scale,)


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
