"""Rows and twins of forks' layers that normalize."""

from __future__ import annotations

import numpy as np

from caffe2fx.layers.forks.normalization import BN, BNMode, BNOfBoth, BNScale, Normalize
from caffe2fx.messages.common import Engine
from tests.layers.forks.row import IMAGE, WEIGHTED, Statistics
from tests.layers.forks.twin import Array, Arrays, moments, twin
from tests.layers.row import Row

ROWS = (
    Row("normalize", Normalize(), (IMAGE,)),
    Row("normalize per channel", Normalize(channel_shared=False, scale_filler=WEIGHTED), (IMAGE,)),
    Row("normalize of rank 2", Normalize(), ((2, 3),)),
    Row("normalize of rank 3 at each", Normalize(across_spatial=False), ((2, 3, 4),)),
    Row("normalize at each", Normalize(across_spatial=False, eps=0.01), (IMAGE,)),
    Statistics("bn", BN(eps=0.01, momentum=0.95, frozen=True, engine=Engine.CAFFE), (IMAGE,)),
    Statistics("bn fillers", BN(slope_filler=WEIGHTED, bias_filler=WEIGHTED), (IMAGE,)),
    Statistics("bn learn", BNScale(scale_filler=WEIGHTED, shift_filler=WEIGHTED), (IMAGE,)),
    Statistics("bn inference", BNScale(bn_mode=BNMode.INFERENCE), (IMAGE,)),
    Statistics("bn of both, learn", BNOfBoth(
        slope_filler=WEIGHTED, bias_filler=WEIGHTED, eps=0.01, momentum=0.95, frozen=True,
        engine=Engine.CAFFE), (IMAGE,)),
    Statistics("bn of both, inference", BNOfBoth(
        bn_mode=BNMode.INFERENCE, scale_filler=WEIGHTED, shift_filler=WEIGHTED), (IMAGE,)),
    Statistics("bn icnet", BN(icnet=True), (IMAGE,)),
    Statistics("bn not icnet", BNScale(icnet=False), (IMAGE,)),
)  # fmt: skip


@twin(BN, BNScale, BNOfBoth)
def bn(layer: BN | BNScale | BNOfBoth, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    (bottom,), (slope, shift, *kept) = bottoms, blobs
    if kept:
        assert not isinstance(layer, BNScale)
        return ((bottom - kept[0]) / np.sqrt(kept[1] + layer.eps) * slope + shift,)
    if isinstance(layer, BNScale) and layer.bn_mode == 0:
        mean, variance = moments(bottom)
        bottom = (bottom - mean) / np.sqrt(variance + 1e-9)
    return (bottom * slope + shift,)
