"""Rows and twins of forks' layers that multiply and correlate two bottoms."""

from __future__ import annotations

from math import ceil

import numpy as np

from caffe2fx.layers.forks.arithmetic import (
    Axpy,
    Correlation,
    CorrelationType,
    MatMul,
    MatMulBatched,
)
from tests.layers.forks.row import IMAGE
from tests.layers.forks.twin import Array, Arrays, indices, twin
from tests.layers.row import Row

ROWS = (
    Row("axpy", Axpy(), ((2, 4, 1, 1), IMAGE, IMAGE)),
    Row("axpy of rank 2", Axpy(), ((2, 4), IMAGE, IMAGE)),
    Row("matmul", MatMul(dim_1=2, dim_2=3, dim_3=4), ((1, 1, 2, 3), (4, 3))),
    Row("matmul of a vector", MatMul(dim_1=2, dim_2=3), ((2, 3), (3,))),
    Row("matmul batched", MatMulBatched(), ((2, 3, 4), (2, 4, 5))),
    Row("matmul transposed", MatMulBatched(transpose_a=True, transpose_b=True),
        ((2, 4, 3), (2, 5, 4))),
    Row("correlation", Correlation(kernel_size=1, max_displacement=2, pad=2), (IMAGE, IMAGE)),
    Row("correlation patch", Correlation(
        kernel_size=3, max_displacement=2, pad=3, stride_1=3, stride_2=2,
        correlation_type=CorrelationType.SUBTRACT), (IMAGE, IMAGE)),
)  # fmt: skip


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
