"""Rows of forks' layers that are recurrent."""

from __future__ import annotations

from caffe2fx.layers.forks.recurrent import Lstm
from tests.layers.forks.row import WEIGHTED
from tests.layers.row import Row

ROWS = (
    Row("lstm of ctpn", Lstm(
        num_output=4, clipping_threshold=1, weight_filler=WEIGHTED, bias_filler=WEIGHTED,
        batch_size=2), ((3, 2, 5),)),
    Row("lstm of ctpn that goes on", Lstm(num_output=4), ((3, 2, 5), (3, 2))),
)  # fmt: skip
