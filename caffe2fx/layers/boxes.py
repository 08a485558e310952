"""Boxes as rows of corners: left, top, right, bottom."""

from __future__ import annotations

import torch
from torch import Tensor


def areas(boxes: Tensor, one: int = 0) -> Tensor:
    """Return the areas of boxes; 0 for a box whose end lies before its start.

    `one` is 1 for boxes in integer pixels, which include their last pixel.
    """
    sides = boxes[..., 2:] - boxes[..., :2] + one
    return torch.where((sides < one).any(-1), torch.zeros_like(sides[..., 0]), sides.prod(-1))


def overlaps(box: Tensor, others: Tensor, one: int = 0) -> Tensor:
    """Return the intersection over union of one box with each of the others."""
    low = torch.maximum(box[:2], others[:, :2])
    high = torch.minimum(box[2:], others[:, 2:])
    shared = (high - low + one).clamp(min=0).prod(-1)
    union = areas(box, one) + areas(others, one) - shared
    return torch.where(shared > 0, shared / union, torch.zeros_like(shared))


def kept_by_nms(boxes: Tensor, threshold: float, *, eta: float = 1.0, one: int = 0) -> Tensor:
    """Return which boxes, sorted best first, to keep: those that overlap no better kept one.

    After each kept box the threshold shrinks by the factor `eta`, while it is above 0.5.
    """
    kept = []
    worst = boxes.new_zeros(len(boxes))
    at = 0
    while at < len(boxes):
        kept.append(at)
        worst = torch.maximum(worst, overlaps(boxes[at], boxes, one))
        threshold *= eta if threshold > 0.5 else 1
        after = (worst[at + 1 :] <= threshold).nonzero()
        at = at + 1 + int(after[0]) if len(after) else len(boxes)
    return torch.tensor(kept, dtype=torch.long, device=boxes.device)
