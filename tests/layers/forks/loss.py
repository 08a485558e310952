"""Rows and twins of forks' layers that compute losses."""

from __future__ import annotations

import numpy as np

from caffe2fx.layers.forks.loss import SmoothL1Loss
from caffe2fx.layers.loss import LossParameter, NormalizationMode, SoftmaxWithLoss
from tests.layers.forks.twin import Array, Arrays, twin
from tests.layers.row import Row

ROWS = (
    Row("smooth l1", SmoothL1Loss(sigma=2), ((3, 4), (3, 4))),
    Row("smooth l1 weights", SmoothL1Loss(), ((3, 4),) * 4),
    Row("smooth l1 of four axes", SmoothL1Loss(), ((3, 4), (3, 4, 1, 1))),
    *(Row(f"softmax loss by {number}", SoftmaxWithLoss(loss_param=LossParameter(
        normalization=NormalizationMode.PRE_FIXED, pre_fixed_normalizer=number)),
        ((3, 4), (3,)), values=((), (2, 0, 3))) for number in (2.5, 0.5)),
)  # fmt: skip


@twin(SmoothL1Loss)
def smooth_l1(layer: SmoothL1Loss, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    flat, square, total = [bottom.ravel() for bottom in bottoms], layer.sigma**2, 0.0
    for x, y, *weights in zip(*flat, strict=True):
        apart = abs((x - y) * (weights[0] if weights else 1))
        term = 0.5 * square * apart**2 if apart < 1 / square else apart - 0.5 / square
        total += term * (weights[1] if weights else 1)
    return (np.array(total / len(bottoms[0])),)
