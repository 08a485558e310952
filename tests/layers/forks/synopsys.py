"""Rows and twins of forks' layers that only Synopsys's Caffe has."""

from __future__ import annotations

import numpy as np

from caffe2fx.layers.detection import (
    NonMaximumSuppression,
)
from caffe2fx.layers.forks.synopsys import (
    BatchNormEps,
    DetectionOutputHeads,
    ReLUBounded,
    ReshapeShuffled,
    UpsampleDarknet,
)
from caffe2fx.messages.common import Engine
from tests.layers.forks.row import IMAGE, SIX, Statistics
from tests.layers.forks.twin import (
    Array,
    Arrays,
    repeated,
    shuffled,
    statistics,
    twin,
)
from tests.layers.row import Row

ROWS = (
    Row("relu6 of a relu", ReLUBounded(relu6=True), (IMAGE,)),
    Row("relu bounded", ReLUBounded(
        minimum=-0.5, maximum=0.5, negative_slope=0.5, engine=Engine.CAFFE), (IMAGE,)),
    Row("relu under another blob", ReLUBounded(negative_slope=0.5), (IMAGE, (2,))),
    Row("reshape shuffled", ReshapeShuffled(pixelshuffler=2, shape=(0, 1, -1, 16)), (IMAGE,)),
    Statistics("batch norm eps", BatchNormEps(add_eps_before_sqrt=False, eps=0.01), (IMAGE,)),
    Statistics("batch norm icnet", BatchNormEps(icnet=True), (IMAGE,)),
    Row("heads", DetectionOutputHeads(
        num_classes=3, nbottom=2, no_permute=True, nms_param=NonMaximumSuppression(top_k=9),
        keep_top_k=5), ((1, 3, 2, 6), (1, 3, 1, 4), (1, 8, 2, 3), (1, 4, 2, 2), (1, 2, 64))),
    Row("heads by ratio", DetectionOutputHeads(
        num_classes=2, nbottom=6, ratio_permute=True, ratio0=1, ratio1=2, ratio2=1, ratio3=3,
        ratio4=1, ratio5=2, keep_top_k=5),
        (*((1, 2 * n) for n in SIX), *((1, 4 * n) for n in SIX), (1, 2, 4 * sum(SIX)))),
    Row("heads by ratio of their own", DetectionOutputHeads(
        num_classes=3, nbottom=2, ratio_permute=True),
        ((1, 18), (1, 6), (1, 24), (1, 8), (1, 2, 24), (1, 2, 8))),
    Row("darknet", UpsampleDarknet(stride=3), (IMAGE,)),
)  # fmt: skip


@twin(ReshapeShuffled)
def reshape_shuffled(layer: ReshapeShuffled, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    return shuffled(bottoms[0], layer.pixelshuffler)


@twin(UpsampleDarknet)
def upsample_darknet(layer: UpsampleDarknet, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    return (repeated(bottoms[0], layer.stride, layer.stride),)


@twin(BatchNormEps)
def batch_norm_eps(layer: BatchNormEps, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    mean, variance = statistics(blobs, bottoms[0].ndim)
    inside = layer.add_eps_before_sqrt
    deviation = np.sqrt(variance + layer.eps) if inside else np.sqrt(variance) + layer.eps
    return ((bottoms[0] - mean) / deviation,)
