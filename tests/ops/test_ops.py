"""Every row of every table: exported, judged by the embedded engine and by real Caffe, reloaded."""

from __future__ import annotations

import pytest
import torch

import fx2caffe
from fx2caffe.lower import handlers, spelled
from fx2caffe.trace import trace
from tests.ops import (
    activation,
    arithmetic,
    convolution,
    elementwise,
    gelu,
    index_map,
    normalization,
    pooling,
    reduction,
    resize,
    shape,
    softmax,
)
from tests.rows import Row, check_exported, check_in_caffe, check_round_trip

ROWS: list[Row] = [
    *convolution.ROWS,
    *pooling.ROWS,
    *activation.ROWS,
    *gelu.ROWS,
    *softmax.ROWS,
    *arithmetic.ROWS,
    *reduction.ROWS,
    *normalization.ROWS,
    *elementwise.ROWS,
    *shape.ROWS,
    *index_map.ROWS,
    *resize.ROWS,
]
EXPORTED = [row for row in ROWS if not row.refused]
REFUSED = [row for row in ROWS if row.refused]


@pytest.mark.parametrize("row", EXPORTED, ids=lambda row: row.id)
def test_exports(row: Row) -> None:
    model = row.model()
    exported = fx2caffe.export(model, tuple(row.inputs()), **row.options)
    check_exported(row, exported)
    check_round_trip(row, model, exported)


@pytest.mark.pycaffe
@pytest.mark.parametrize("row", EXPORTED, ids=lambda row: row.id)
def test_in_real_caffe(row: Row) -> None:
    check_in_caffe(row, fx2caffe.export(row.model(), tuple(row.inputs()), **row.options))


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.id)
def test_refuses(row: Row) -> None:
    with pytest.raises(fx2caffe.UnsupportedError) as caught:
        fx2caffe.export(row.model(), tuple(row.inputs()), **row.options)
    assert row.refused in str(caught.value)
    assert caught.value.refusals[0].origin.line > 0


def test_row_ids_are_unique() -> None:
    ids = [row.id for row in ROWS]
    assert len(set(ids)) == len(ids)


def test_every_handler_has_a_row() -> None:
    seen = set()
    for row in ROWS:
        if row.refused.startswith("needs eval mode"):  # refused while it is traced
            continue
        with torch.no_grad():
            graph = trace(row.model(), tuple(row.inputs())).module.graph
        seen |= {node.target for node in graph.nodes if node.op == "call_function"}
    missing = [spelled(t) for t in handlers() if t not in seen and not isinstance(t, type)]
    assert not missing
