"""Rows and twins of forks' layers that warp images."""

from __future__ import annotations

from math import ceil, floor

import numpy as np

from caffe2fx.layers.forks.warp import Warp
from tests.layers.forks.twin import Array, Arrays, indices, twin
from tests.layers.row import Row

ROWS = (
    Row("warp", Warp(), ((2, 3, 4, 5), (2, 2, 4, 5))),
    Row("warp far", Warp(), ((1, 2, 3, 3), (1, 2, 3, 3)), values=((), (1, -1, 2, 0.5, 9, -0.5))),
)  # fmt: skip


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
