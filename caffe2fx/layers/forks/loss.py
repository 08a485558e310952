"""Losses of Caffe's forks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.forks.shape import SSD
from caffe2fx.layers.layer import Evidence, of_four_axes
from caffe2fx.layers.loss import Loss
from caffe2fx.layers.registry import register
from caffe2fx.messages.message import Shape, field


def check_same_positions(bottoms: Sequence[Shape]) -> None:
    """Raise ShapeMismatchError unless all bottoms have the same shape, but for trailing 1s."""
    if len({of_four_axes(bottom) for bottom in bottoms}) > 1:
        raise ShapeMismatchError(f"needs bottoms of one shape, got {list(bottoms)}")


@register
@dataclass(frozen=True, kw_only=True)
class SmoothL1Loss(Loss):
    """Sum sigma^2 x^2 / 2 where |x| < 1 / sigma^2, else |x| - 1 / (2 sigma^2); by batch size.

    x is the difference of the first bottoms, times the third if there is one; the fourth
    weighs the terms.
    """

    type = "SmoothL1Loss"
    parameter = ("smooth_l1_loss_param", 8266712)
    message = "SmoothL1LossParameter"
    dialects = ("rcnn", *SSD)
    evidence = Evidence.SOURCE
    bottoms = (2, 4)

    sigma: float = field(1, "float", 1.0)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        check_same_positions(bottoms)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        prediction, target, *weights = (bottom.reshape(bottoms[0].shape) for bottom in bottoms)
        difference = prediction - target
        difference = difference * weights[0] if weights else difference
        square = self.sigma**2
        curved = difference.square() * (square / 2)
        terms = torch.where(difference.abs() < 1 / square, curved, difference.abs() - 0.5 / square)
        terms = terms * weights[1] if len(weights) == 2 else terms
        return (terms.sum() / prediction.shape[0],)
