"""Rows of forks' layers that pool otherwise than BVLC's."""

from __future__ import annotations

from caffe2fx.layers.pooling import Pooling, PoolMethod, RoundMode
from tests.layers.forks.row import IMAGE
from tests.layers.row import Row

ROWS = (
    Row("pooling, average without padding", Pooling(
        kernel_size=3, stride=2, pad=1, pool=PoolMethod.AVE_EXC_PAD), (IMAGE,)),
    Row("pooling ceil_mode", Pooling(kernel_size=3, stride=2, round_mode=RoundMode.FLOOR), (IMAGE,),
        as_text="pooling_param { kernel_size: 3 stride: 2 ceil_mode: false }"),
    Row("pooling ceil_mode true", Pooling(kernel_size=3, stride=2), (IMAGE,),
        as_text="pooling_param { kernel_size: 3 stride: 2 ceil_mode: true }"),
)  # fmt: skip
