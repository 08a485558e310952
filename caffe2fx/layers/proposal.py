"""Faster R-CNN's proposals: regions from anchors and their predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.boxes import kept_by_nms
from caffe2fx.layers.forks.shape import needs_rank
from caffe2fx.layers.layer import Layer
from caffe2fx.layers.registry import register
from caffe2fx.messages.message import Shape, field, repeated


def anchors(base: int, ratios: Sequence[float], scales: Sequence[float]) -> Tensor:
    """Return the anchors of the first position, ratio by ratio: (ratios * scales, 4) in float64."""
    centre = (base - 1) / 2
    made = []
    for ratio in ratios:
        width = np.round(np.sqrt(base * base / ratio))
        height = np.round(width * ratio)
        for scale in scales:
            half = (width * scale - 1) / 2, (height * scale - 1) / 2
            made.append([centre - half[0], centre - half[1], centre + half[0], centre + half[1]])
    return torch.tensor(np.array(made), dtype=torch.float64)


def shifted(base: Tensor, height: int, width: int, stride: int) -> Tensor:
    """Return the anchors of every position, (H * W * anchors, 4): by row, by column, by anchor."""
    down, across = torch.meshgrid(
        torch.arange(height) * stride, torch.arange(width) * stride, indexing="ij"
    )
    shifts = torch.stack([across, down, across, down], -1).reshape(-1, 1, 4)
    return (base + shifts).reshape(-1, 4)


def moved(boxes: Tensor, shifts: Tensor) -> Tensor:
    """Return boxes in integer pixels, moved and resized by R-CNN's predicted offsets."""
    size = boxes[:, 2:] - boxes[:, :2] + 1
    centre = boxes[:, :2] + size / 2 + shifts[:, :2] * size
    half = shifts[:, 2:].exp() * size / 2
    return torch.cat([centre - half, centre + half], 1)


@dataclass(frozen=True, eq=False)
class Proposer:
    """Computes regions from scores, predicted offsets and the size of the image.

    The bottoms are scores (1, 2 * anchors, H, W), of which the second half is used, predicted
    offsets (1, 4 * anchors, H, W), and height, width and scale of the image. `base` are the anchors
    of the first position. Among the `before` boxes of the best scores overlaps are suppressed, and
    the first `after` of the kept ones are the result. A box with a side shorter than `least`, in
    pixels of the unscaled image, is dropped, or gets a score of 0 with `small_stay`.
    """

    base: Tensor
    stride: int
    before: int
    after: int
    threshold: float
    least: float
    small_stay: bool

    def check(self, bottoms: Sequence[Shape]) -> None:
        """Raise ShapeMismatchError unless the bottoms fit the anchors."""
        scores, moves, image = bottoms
        needs_rank(scores, 4)
        count = len(self.base)
        wanted = (1, 2 * count, *scores[2:]), (1, 4 * count, *scores[2:])
        if (scores, moves) != wanted:
            raise ShapeMismatchError(
                f"needs {wanted[0]} and {wanted[1]} for {count} anchors, got {scores} and {moves}"
            )
        if prod(image) < 3:
            raise ShapeMismatchError(f"needs height, width and scale of the image, got {image}")

    def __call__(self, *bottoms: Tensor) -> tuple[Tensor, Tensor]:
        """Return the regions (R, 5), their first column the image's index 0, and scores (R, 1)."""
        boxes, scores = self._candidates(*bottoms)
        order = scores.argsort(descending=True, stable=True)[: self.before or None]
        kept = order[kept_by_nms(boxes[order], self.threshold, one=1)[: self.after or None]]
        regions = torch.cat([boxes.new_zeros(len(kept), 1), boxes[kept]], 1)
        return regions, scores[kept, None]

    def _candidates(self, scores: Tensor, moves: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        count, height, width = len(self.base), *scores.shape[2:]
        anchors = shifted(self.base, height, width, self.stride).to(moves)
        ordered = moves.reshape(count, 4, height, width).permute(2, 3, 0, 1).reshape(-1, 4)
        tall, wide, scale = image.reshape(-1)[:3]
        boxes = _within(moved(anchors, ordered), tall - 1, wide - 1)
        chances = scores[0, count:].permute(1, 2, 0).reshape(-1)
        large = ((boxes[:, 2:] - boxes[:, :2] + 1) >= self.least * scale).all(1)
        return (boxes, chances * large) if self.small_stay else (boxes[large], chances[large])


def _within(boxes: Tensor, bottom: Tensor, right: Tensor) -> Tensor:
    ends = torch.stack([right, bottom, right, bottom])
    return torch.minimum(boxes.clamp(min=0), ends)


@register
@dataclass(frozen=True, kw_only=True)
class Proposal(Layer):
    """Compute PVANet's proposals: a box that is too small is kept with a score of 0.

    The top is (regions, 5), which Caffe takes for (1, 5) before it runs; a second top holds the
    scores. The treatment of small boxes is from the fork's source, not run; the rest as in OpenCV.
    """

    type = "Proposal"
    parameter = ("proposal_param", 201)
    message = "ProposalParameter"
    dialects = ("pvanet", "opencv", "brocolli")
    bottoms = (3, 3)
    tops = (1, 2)
    has_dynamic_shape = True

    feat_stride: int = field(1, "uint32", 16)
    base_size: int = field(2, "uint32", 16)
    min_size: int = field(3, "uint32", 16)
    ratio: tuple[float, ...] = repeated(4, "float")
    scale: tuple[float, ...] = repeated(5, "float")
    pre_nms_topn: int = field(6, "uint32", 6000)
    post_nms_topn: int = field(7, "uint32", 300)
    nms_thresh: float = field(8, "float", 0.7)

    def _proposer(self) -> Proposer:
        base = anchors(self.base_size, self.ratio, self.scale)
        counts = self.pre_nms_topn, self.post_nms_topn
        return Proposer(base, self.feat_stride, *counts, self.nms_thresh, self.min_size, True)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if not self.ratio or not self.scale:
            raise ShapeMismatchError("needs ratio and scale, got none")
        self._proposer().check(bottoms)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return ((1, 5), (1, 1))[:tops]

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return self._proposer()(*bottoms)[:tops]
