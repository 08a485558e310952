"""Rows and twins of forks' layers that BVLC has with other fields."""

from __future__ import annotations

import numpy as np

from caffe2fx.layers.forks.variants import BatchNormScaleBias, DropoutUnscaled, SpatialDropout
from caffe2fx.messages.common import Engine
from tests.layers.forks.row import IMAGE, WEIGHTED, Statistics
from tests.layers.forks.twin import (
    Array,
    Arrays,
    by_channel,
    moments,
    statistics,
    twin,
)
from tests.layers.row import Row

ROWS = (
    Row("spatial dropout", SpatialDropout(dropout_ratio=0.1), (IMAGE,)),
    Statistics("batch norm scale bias", BatchNormScaleBias(scale_bias=True, eps=0.01), (IMAGE,)),
    Statistics("batch norm of rank 2",
        BatchNormScaleBias(scale_bias=True, scale_filler=WEIGHTED, bias_filler=WEIGHTED),
        ((3, 4),)),
    Statistics("batch norm of batch", BatchNormScaleBias(
        scale_bias=True, use_global_stats=False, moving_average_fraction=0.9,
        engine=Engine.CUDNN), (IMAGE,)),
    Statistics("batch norm without", BatchNormScaleBias(scale_bias=False), (IMAGE,)),
    Row("dropout unscaled", DropoutUnscaled(scale_train=False, dropout_ratio=0.3), (IMAGE,)),
    Row("dropout scaled", DropoutUnscaled(scale_train=True), (IMAGE,)),
    Row("dropout without chance", DropoutUnscaled(scale_train=True), (IMAGE,),
        as_text="dropout_param { scale_train: true sample_weights_test: false }"),
)  # fmt: skip


@twin(DropoutUnscaled)
def dropout_unscaled(layer: DropoutUnscaled, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    return (bottoms[0] if layer.scale_train else bottoms[0] * (1 - layer.dropout_ratio),)


@twin(BatchNormScaleBias)
def batch_norm_scale_bias(
    layer: BatchNormScaleBias, bottoms: Arrays, blobs: Arrays
) -> tuple[Array, ...]:
    bottom = bottoms[0]
    of_batch = layer.use_global_stats is False
    mean, variance = moments(bottom) if of_batch else statistics(blobs, bottom.ndim)
    top = (bottom - mean) / np.sqrt(variance + layer.eps)
    if layer.scale_bias:
        top = top * by_channel(blobs[3], bottom.ndim) + by_channel(blobs[4], bottom.ndim)
    return (top,)


@twin(SpatialDropout)
def spatial_dropout(layer: SpatialDropout, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    return tuple(bottoms)
