"""Rows and twins of forks' layers that propose and detect boxes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import exp, sqrt

import numpy as np

from caffe2fx.layers.detection import (
    CodeType,
    DetectionOutput,
    NonMaximumSuppression,
    PriorBox,
    PriorBoxOffsets,
    SaveOutput,
)
from caffe2fx.layers.proposal import Proposal
from tests.layers.forks.row import ANCHORS, BOXES, MAPS, SIZE
from tests.layers.forks.twin import Array, Arrays, indices, twin
from tests.layers.row import Row

ROWS = (
    Row("proposal", Proposal(ratio=(0.5, 1), scale=(2, 4), min_size=8), ANCHORS, values=SIZE),
    Row("proposal of any size", Proposal(
        ratio=(0.5, 1), scale=(1, 2), min_size=1, post_nms_topn=9), ANCHORS, tops=2, values=SIZE),
    Row("proposal scores", Proposal(
        ratio=(1,), scale=(1, 2, 3, 4), feat_stride=8, base_size=8, pre_nms_topn=20,
        post_nms_topn=5, nms_thresh=0.5), ANCHORS, tops=2, values=SIZE),
    Row("prior box", PriorBox(
        min_size=(10, 20), max_size=(15, 30), aspect_ratio=(2, 3), flip=False, clip=True,
        variance=(0.1, 0.1, 0.2, 0.2), offset=0.25), MAPS),
    Row("prior box img", PriorBox(min_size=(10,), img_size=60, step=8), MAPS),
    Row("prior box h w", PriorBox(min_size=(10,), img_h=60, img_w=30, step_h=8, step_w=4), MAPS),
    Row("prior box offsets", PriorBoxOffsets(
        min_size=(10.5,), aspect_ratio=(2,), offset_h=(0.5, 1), offset_w=(0.5, 0.5),
        variance=(0.1,)), MAPS),
    Row("prior box sizes", PriorBoxOffsets(
        width=(10, 20), height=(15, 5), clip=False, variance=(0.1, 0.1, 0.2, 0.2)), MAPS),
    Row("detection", DetectionOutput(num_classes=3), BOXES),
    Row("detection said", DetectionOutput(num_classes=3, confidence_threshold=0.1, keep_top_k=9),
        BOXES, as_text="detection_output_param { num_classes: 3 share_location: true"
        " background_label_id: 0 code_type: CORNER keep_top_k: 9 confidence_threshold: 0.1"
        " nms_param { nms_threshold: 0.3 } }"),
    Row("detection all", DetectionOutput(
        num_classes=3, share_location=False, background_label_id=-1, keep_top_k=5,
        nms_param=NonMaximumSuppression(nms_threshold=0.6, top_k=4, eta=0.9),
        code_type=CodeType.CENTER_SIZE, variance_encoded_in_target=True, visualize=True,
        confidence_threshold=0.1, visualize_threshold=0.6, save_file="found",
        save_output_param=SaveOutput(output_format="VOC", output_directory="out")),
        ((2, 72), (2, 18), (1, 2, 24))),
)  # fmt: skip


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
