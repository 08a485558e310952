"""Fields and texts of intermediate records, beside their meaning."""

from __future__ import annotations

import pytest

from caffe2fx.layers.layer import Layer
from fx2caffe.ir.matmul import MatMul
from fx2caffe.ir.reduce import Reduce, ReduceOp
from fx2caffe.ir.standardize import Standardize

ROWS = (
    # record, shapes of the bottoms, terms in a sum
    (Reduce(op=ReduceOp.SUM, axes=(1,)), [(2, 50)], 50),
    (Reduce(op=ReduceOp.SUMSQ, axes=(1, 2)), [(2, 5, 7)], 35),
    (MatMul(), [(3, 4, 6), (3, 6, 5)], 6),
    (Standardize(axis=1, eps=1e-5), [(2, 3, 4)], 12),
)


@pytest.mark.parametrize(("record", "bottoms", "terms"), ROWS, ids=lambda value: str(value)[:20])
def test_accumulation_length(record: Layer, bottoms: list[tuple[int, ...]], terms: int) -> None:
    assert record.accumulation_length(bottoms) == terms
