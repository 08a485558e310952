"""Losses of distances and margins, all divided by the batch size alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.layer import needs_indices
from caffe2fx.layers.loss import Loss, check_legacy, with_gradient
from caffe2fx.layers.registry import register
from caffe2fx.messages.message import Shape, field


@register
@dataclass(frozen=True, kw_only=True)
class EuclideanLoss(Loss):
    """Compute half the squared distance by batch size; both bottoms have a gradient."""

    type = "EuclideanLoss"
    message = ""

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        check_legacy(bottoms[:1])
        if prod(bottoms[0][1:]) != prod(bottoms[1][1:]):
            raise ShapeMismatchError(f"needs bottoms of equal size, got {list(bottoms)}")

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        difference = bottoms[0] - bottoms[1].reshape(bottoms[0].shape)
        return (difference.square().sum() / bottoms[0].shape[0] / 2,)


class Norm(IntEnum):
    """Selects how HingeLoss sums margins: as they are (L1), or squared (L2)."""

    L1 = 1
    L2 = 2


@register
@dataclass(frozen=True, kw_only=True)
class HingeLoss(Loss):
    """Sum max(0, 1 + x), for the labelled class max(0, 1 - x); divide by the batch size.

    All axes but the first are classes, and only the first N of the labels are used (N: batch size).
    Caffe's max(0, NaN) is 0.
    """

    type = "HingeLoss"
    parameter = ("hinge_loss_param", 114)
    message = "HingeLossParameter"

    norm: Norm = field(1, Norm, Norm.L1)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        check_legacy(bottoms[:1])

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        rows = bottoms[0].reshape(bottoms[0].shape[0], -1)
        labels = bottoms[1].detach().long().reshape(-1)[: rows.shape[0], None]
        needs_indices("labels", labels, rows.shape[1])
        margins = 1 + rows * torch.ones_like(rows).scatter(1, labels, -1.0)
        margins = torch.where(margins > 0, margins, 0)
        margins = margins if self.norm is Norm.L1 else margins.square()
        return (margins.sum() / rows.shape[0],)


@register
@dataclass(frozen=True, kw_only=True)
class ContrastiveLoss(Loss):
    """Sum d**2 of similar pairs (third bottom not 0) and max(margin - d, 0)**2 of others, halved.

    d is the distance of the two bottoms, and the mean over the batch is taken; with legacy_version
    it is max(margin - d**2, 0) for others. The gradient divides by d + 1e-4.
    """

    type = "ContrastiveLoss"
    parameter = ("contrastive_loss_param", 105)
    message = "ContrastiveLossParameter"
    bottoms = (3, 3)

    margin: float = field(1, "float", 1.0)
    legacy_version: bool = field(2, "bool", False)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        check_legacy(bottoms)
        if prod(bottoms[0][1:]) != prod(bottoms[1][1:]):
            raise ShapeMismatchError(f"needs bottoms of equal size, got {list(bottoms[:2])}")
        if any(size != 1 for bottom in bottoms[:2] for size in bottom[2:]):
            raise ShapeMismatchError(f"needs height and width of 1, got {list(bottoms[:2])}")
        if prod(bottoms[2][1:]) != 1 or prod(bottoms[2]) < bottoms[0][0]:
            raise ShapeMismatchError(f"needs one mark a pair, got {bottoms[2]}")

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        batch = bottoms[0].shape[0]
        difference = bottoms[0].reshape(batch, -1) - bottoms[1].reshape(batch, -1)
        similar = bottoms[2].detach().long().reshape(-1)[:batch] != 0
        square = difference.detach().square().sum(1)
        losses, pull = self._dissimilar(square)
        losses, pull = torch.where(similar, square, losses), torch.where(similar, 1.0, pull)
        total = losses.sum() / batch / 2
        return (with_gradient(total, difference, pull[:, None] * difference / batch),)

    def _dissimilar(self, square: Tensor) -> tuple[Tensor, Tensor]:
        """Return twice a dissimilar pair's loss, and its gradient as a factor of the difference."""
        if self.legacy_version:
            return F.relu(self.margin - square), -(square < self.margin).to(square.dtype)
        distance = square.sqrt()
        missing = F.relu(self.margin - distance)
        return missing.square(), -missing / (distance + 1e-4)
