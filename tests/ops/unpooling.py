"""Max unpoolings, of indices that a max pooling gave."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.rows import Row, function

NINE, LINE = ((2, 3, 9, 9),), ((2, 3, 9),)


def unpooled(x: Tensor, kernel: int, stride: int, pad: int = 0) -> Tensor:
    """Unpool the result of a max pooling to its indices."""
    values, indices = F.max_pool2d(x, kernel, stride, pad, return_indices=True)
    return F.max_unpool2d(values, indices, kernel, stride, pad, x.shape[-2:])


def changed(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Unpool values that differ where windows of one index overlap: the last of them stays."""
    values, indices = F.max_pool2d(x, kernel, stride, return_indices=True)
    values = values * torch.arange(1.0, 1 + values[0, 0].numel()).view(values.shape[2:])
    return F.max_unpool2d(values, indices, kernel, stride, 0, x.shape[-2:])


ROWS = [
    Row("max_unpool", function(lambda x: unpooled(x, 2, 2)),
        layers=("Pooling", "Power", "Deconvolution", "Deconvolution", "Bias", "AbsVal",
            "Threshold", "Power", "Eltwise")),
    Row("max_unpool_floor", function(lambda x: unpooled(x, 2, 2)), NINE,
        layers=("Pooling", "DummyData", "Crop", "Crop", "Power", "Reshape", "Convolution",
            "Reshape", "InnerProduct", "Reshape", "Convolution", "Reshape", "InnerProduct", "Bias",
            "AbsVal", "Threshold", "Power", "Eltwise")),
    Row("max_unpool_overlapping", function(lambda x: unpooled(x, 3, 2, 1)), NINE, layers={
            "Pooling": 1, "Power": 5, "Reshape": 8, "Convolution": 4, "InnerProduct": 4,
            "Bias": 4, "AbsVal": 4, "Threshold": 4, "Eltwise": 10, "Slice": 8, "Concat": 8}),
    Row("max_unpool_overlapping_changed", function(lambda x: changed(x, 3, 1)), ((1, 2, 4, 4),),
        layers={
            "Pooling": 1, "Scale": 1, "Power": 5, "Reshape": 8, "Convolution": 4, "InnerProduct": 4,
            "Bias": 4, "AbsVal": 4, "Threshold": 4, "Eltwise": 10, "Slice": 8, "Concat": 8}),
    Row("max_unpool_skipping", function(lambda x: unpooled(x, 2, 3)), ((2, 3, 8, 8),),
        layers=("Pooling", "Power", "Reshape", "Convolution", "Reshape", "InnerProduct",
            "Reshape", "Convolution", "Reshape", "InnerProduct", "Bias", "AbsVal", "Threshold",
            "Power", "Eltwise")),
    Row("max_unpool_global", function(lambda x: F.max_unpool2d(
        *F.adaptive_max_pool2d(x, 1, return_indices=True), 8)),
        layers=("Pooling", "Power", "Deconvolution", "Deconvolution", "Bias", "AbsVal",
            "Threshold", "Power", "Eltwise")),
    Row("max_unpool_1d", function(lambda x: F.max_unpool1d(
        *F.max_pool1d(x, 3, return_indices=True), 3)), LINE,
        layers=("Reshape", "Pooling", "Flatten", "Flatten", "Reshape", "Reshape", "Power",
            "Deconvolution", "Deconvolution", "Bias", "AbsVal", "Threshold", "Power", "Eltwise",
            "Flatten")),
    Row("max_unpool_3d", function(lambda x, i: F.max_unpool3d(x, i, 2)), ((1, 2, 2, 2, 2),) * 2,
        refused="needs one or two dimensions", below=(0, 64)),
    Row("max_unpool_constant", function(lambda x: F.max_unpool2d(
        x, torch.tensor([[[[0, 3], [9, 15]]]]), 2)), ((1, 1, 2, 2),),
        refused="needs elements and indices that the net computes"),
    Row("max_unpool_other", function(lambda x, i: F.max_unpool2d(x, i, 2)), ((1, 2, 3, 3),) * 2,
        refused="needs indices of a max pooling of images of size (6, 6)", below=(0, 36)),
]  # fmt: skip
