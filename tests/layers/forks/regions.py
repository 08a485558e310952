"""Rows and twins of forks' layers that pool regions."""

from __future__ import annotations

from math import ceil, floor

import numpy as np

from caffe2fx.layers.regions import PSROIPooling, ROIAlign, ROIPooling
from tests.layers.forks.row import REGIONS, TWO
from tests.layers.forks.twin import Array, Arrays, indices, twin
from tests.layers.row import Row

ROWS = (
    Row("roi pooling", ROIPooling(pooled_h=2, pooled_w=3, spatial_scale=0.5), TWO, values=REGIONS),
    Row("roi align", ROIAlign(pooled_h=2, pooled_w=3, spatial_scale=0.5), TWO, values=REGIONS),
    Row("psroi pooling", PSROIPooling(output_dim=1, group_size=2, spatial_scale=0.5), TWO,
        values=REGIONS),
)  # fmt: skip


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
        for y, x in indices(top.shape[2:]):
            samples = [
                sampled(maps[int(image)], up + (y + (i + 0.5) / rows) * high,
                        left + (x + (j + 0.5) / columns) * wide)
                for i, j in indices((rows, columns))
            ]  # fmt: skip
            top[index, :, y, x] = sum(samples) / len(samples)
    return (top,)
