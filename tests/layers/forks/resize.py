"""Rows of forks' layers that resize images."""

from __future__ import annotations

from caffe2fx.layers.forks.resize import Interp
from tests.layers.forks.row import IMAGE
from tests.layers.row import Row

ROWS = (
    Row("interp", Interp(height=9, width=3), (IMAGE,)),
    Row("interp factors", Interp(shrink_factor=2, zoom_factor=3), (IMAGE,)),
    Row("interp pads", Interp(zoom_factor=2, pad_beg=-1, pad_end=-2), (IMAGE,)),
    Row("interp bottom", Interp(use_blob_size=True), (IMAGE, (1, 7, 3, 9))),
)  # fmt: skip
