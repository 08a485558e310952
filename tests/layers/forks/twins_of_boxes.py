"""Twins of losses of boxes, of regions, proposals and priors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import ceil, exp, floor, sqrt

import numpy as np

from caffe2fx.layers.detection import PriorBoxOffsets
from caffe2fx.layers.forks.loss import SmoothL1Loss
from caffe2fx.layers.proposal import Proposal
from caffe2fx.layers.regions import ROIAlign
from tests.layers.forks.twin import Array, Arrays, indices, twin


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
        for y, x in indices(top.shape[2:]):
            samples = [
                sampled(maps[int(image)], up + (y + (i + 0.5) / rows) * high,
                        left + (x + (j + 0.5) / columns) * wide)
                for i, j in indices((rows, columns))
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
    for y, x, at in indices((*scores.shape[1:], len(base))):
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
    for y, x in indices((rows, columns)):
        for (width, height), (right, down) in product(boxes, offsets):
            centre = (x + right) * wide / columns, (y + down) * high / rows
            for sign in (-1, 1):
                corners += [(centre[0] + sign * width / 2) / wide,
                            (centre[1] + sign * height / 2) / high]  # fmt: skip
    made = np.array(corners).clip(0, 1) if layer.clip else np.array(corners)
    return (np.stack([made, np.resize(layer.variance, len(made))])[None],)
