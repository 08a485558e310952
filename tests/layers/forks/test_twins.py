"""Every layer of Caffe's forks is held against something that is not its own record."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, cast

import numpy as np
import pytest
import torch

from caffe2fx.layers import DetectionOutput
from caffe2fx.layers.forks.activation import ReLU6
from caffe2fx.layers.forks.recurrent import Lstm
from caffe2fx.layers.forks.resize import Interp
from caffe2fx.layers.forks.sides import ConvolutionSides, PoolingSides
from caffe2fx.layers.forks.synopsys import DetectionOutputHeads, ReLUBounded
from caffe2fx.layers.forks.tensorflow import ResizeBilinear, ResizeNearestNeighbor
from caffe2fx.layers.layer import BVLC, Layer
from tests.layers.forks.forks import ROWS
from tests.layers.forks.test_forkcases import TEXTS, case
from tests.layers.forks.twin import TWINS
from tests.layers.row import Row

EXACT = 1e-9  # of the largest element: both sides count in float64

TWINNED = {row.id: row for row in ROWS if type(row.layer) in TWINS}

# The records that test_by_hand.py computes.
BY_HAND = {
    ConvolutionSides, PoolingSides, ReLUBounded, ResizeBilinear, ResizeNearestNeighbor, Lstm,
    DetectionOutputHeads,
}  # fmt: skip


@pytest.mark.parametrize("row", TWINNED.values(), ids=lambda row: row.id.replace(" ", "_"))
def test_a_record_computes_as_the_forks_source_does(row: Row) -> None:
    inputs, blobs = ([x.double() for x in some] for some in (row.inputs(), row.blobs()))
    mine = row.layer.compute(inputs, blobs, row.tops)
    made = TWINS[type(row.layer)](
        row.layer, [x.numpy() for x in inputs], [blob.numpy() for blob in blobs]
    )
    assert len(mine) <= len(made)
    for one, other in zip(mine, made, strict=False):
        wanted = torch.tensor(np.asarray(other))
        assert one.shape == wanted.shape
        assert float((one - wanted).abs().max()) <= EXACT * float(wanted.abs().max())


def test_no_record_is_judged_by_itself_alone() -> None:
    of_forks = {type(row.layer) for row in ROWS if BVLC not in row.layer.dialects}
    by_forks = {type(case(name)[0].steps[-1].layer) for name in TEXTS}
    assert of_forks - by_forks - BY_HAND == set(TWINS) - by_forks


# Options that no case of a fork has: computed in test_by_hand.py, or without effect on the top.
OTHER_OPTIONS = {
    (ReLU6, "threshold"), (Interp, "use_blob_size"),
    *((DetectionOutput, name)
      for name in ("save_file", "save_output_param", "visualize", "visualize_threshold")),
}  # fmt: skip


def _options(layer: Layer) -> set[tuple[type[Layer], str]]:
    """Return the fields of a layer that are not at their defaults."""
    plain = {field.name: field.default for field in fields(cast(Any, layer))}
    kind = type(layer)
    return {(kind, name) for name, _ in kind.wires() if getattr(layer, name) != plain[name]}


def test_every_option_of_a_row_is_judged_by_others() -> None:
    in_cases = [case(name)[0].steps[-1].layer for name in TEXTS]
    judged = {*TWINS, *BY_HAND}
    in_rows = [row.layer for row in ROWS if type(row.layer) not in judged]
    of_forks = [layer for layer in in_rows if BVLC not in layer.dialects]
    stated, known = (set[Any]().union(*map(_options, some)) for some in (of_forks, in_cases))
    assert stated - known == OTHER_OPTIONS
