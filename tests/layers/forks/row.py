"""Shapes of bottoms for the rows of forks' layers, and rows whose blobs are statistics."""

from __future__ import annotations

from caffe2fx.layers.forks.variants import BatchNormScaleBias
from caffe2fx.messages.common import Filler
from tests.layers.row import Row, Tops


class Statistics(Row):
    """Is a row whose last blobs are a variance and those that may follow it."""

    def blobs(self) -> Tops:
        made = [blob.abs() + 0.5 for blob in super().blobs()]
        if isinstance(self.layer, BatchNormScaleBias):
            made[2].fill_(self.factor)
        return tuple(made)


IMAGE = (2, 4, 6, 8)
VIDEO = (1, 2, 5, 6, 6)
REGIONS = ((), (0, 1, 1, 4, 5, 1, 0, 2, 7, 5))
TWO = (IMAGE, (2, 5))
BOXES = ((2, 24), (2, 18), (1, 2, 24))
WEIGHTED = Filler(value=2.0)
ANCHORS = ((1, 8, 3, 4), (1, 16, 3, 4), (1, 3))
SIZE = ((), (), (40, 60, 1))
MAPS = ((1, 3, 4, 5), (1, 3, 40, 50))

SIX = (4, 4, 2, 3, 1, 2)  # default boxes of heads
