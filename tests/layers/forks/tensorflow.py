"""Rows and twins of forks' layers that follow TensorFlow."""

from __future__ import annotations

import numpy as np

from caffe2fx.layers.forks.tensorflow import DepthToSpace, ResizeBilinear, ResizeNearestNeighbor
from tests.layers.forks.row import IMAGE
from tests.layers.forks.twin import Array, Arrays, indices, twin
from tests.layers.row import Row

ROWS = (
    Row("depth to space", DepthToSpace(block_size=2), ((2, 3, 2, 8),)),
    Row("depth to space, channels first", DepthToSpace(block_size=2, data_format="NCHW"), (IMAGE,)),
    Row("depth to space, DCR", DepthToSpace(block_size=2, data_format="DCR"), (IMAGE,)),
    Row("depth to space, CRD", DepthToSpace(block_size=2, data_format="CRD"), (IMAGE,)),
    Row("nearest", ResizeNearestNeighbor(output_height=7, scale_width=1.5, data_format="NCHW"),
        (IMAGE,)),
    Row("nearest of corners", ResizeNearestNeighbor(
        output_height=7, output_width=3, align_corners=True), ((2, 3, 4, 5),)),
    Row("nearest of middles", ResizeNearestNeighbor(
        scale_height=2, half_pixel_centers=True, data_format="NCHW"), (IMAGE,)),
    Row("nearest as in ONNX", ResizeNearestNeighbor(
        output_height=7, half_pixel_onnx=True, data_format="NCHW"), (IMAGE,)),
    Row("bilinear", ResizeBilinear(output_height=7, scale_width=1.5, data_format="NCHW"),
        (IMAGE,)),
    Row("bilinear of corners", ResizeBilinear(
        output_height=7, output_width=3, align_corners=True), ((2, 3, 4, 5),)),
    Row("bilinear of middles", ResizeBilinear(
        scale_height=2, half_pixel_centers=True, data_format="NCHW"), (IMAGE,)),
    Row("bilinear as in torch", ResizeBilinear(
        output_height=1, output_width=7, pytorch_half_pixel=True, data_format="NCHW"), (IMAGE,)),
)  # fmt: skip


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
