"""Rows of the layers of Caffe's forks; the fork cases hold their values against the forks."""

from __future__ import annotations

from tests.layers.forks import (
    activation,
    arithmetic,
    convolution,
    detection,
    loss,
    normalization,
    pooling,
    position,
    recurrent,
    regions,
    resize,
    shape,
    sides,
    synopsys,
    tensorflow,
    variants,
    warp,
)

FAMILIES = (
    activation,
    arithmetic,
    convolution,
    detection,
    loss,
    normalization,
    pooling,
    position,
    recurrent,
    regions,
    resize,
    shape,
    sides,
    synopsys,
    tensorflow,
    variants,
    warp,
)
ROWS = tuple(row for family in FAMILIES for row in family.ROWS)
