"""Layers in which real Caffe loses NaN or infinities, which torch and the records keep."""

from __future__ import annotations

from math import inf, nan

import pytest
import torch

from caffe2fx.layers import LRN, ArgMax, Power, Scale
from tests.layers.real import results
from tests.layers.row import Row

ROWS = {
    row.id: row
    for row in (
        Row("factor", Scale(), ((2, 3, 4), (3,)), values=((1.0, 2.0), (1.0, nan, 0.0))),
        Row("zero", Scale(), ((1, 3, 1), (3,)), values=((1.0, inf, nan), (2.0, 0.0, 0.0))),
        Row("sums", LRN(local_size=3), ((1, 5, 1, 1),), values=((1.0, nan, 2.0, 3.0, 4.0),)),
        Row("sort", ArgMax(out_max_val=True, axis=1), ((1, 4),), values=((1.0, nan, 3.0, 2.0),)),
    )
}


@pytest.mark.pycaffe
def test_real_caffe_loses_nan() -> None:
    """A sort by comparisons may leave NaN anywhere, so the result of that is not asked for."""
    real = results([*ROWS.values()])
    for name, row in ROWS.items():
        tops = real[name]
        assert isinstance(tops, tuple), tops
        (top,), (kept,) = tops, row.meaning(row.inputs())
        (lost,) = row.layer.compute_losing_nan(row.inputs(), row.blobs(), 1)
        assert not torch.allclose(top, kept, equal_nan=True), name
        assert name == "sort" or torch.allclose(top, lost, rtol=1e-5, equal_nan=True), name
        assert row.layer.nan_needs.startswith("needs ")


@pytest.mark.pycaffe
def test_real_caffe_raises_minus_infinity_as_c_does() -> None:
    powers = (0.5, -0.5, 1.5, 2.0, 3.0, -1.0)
    rows = [Row(str(p), Power(power=p), ((1, 2),), values=((-inf, 2.0),)) for p in powers]
    real = results(rows)
    for row in rows:
        torch.testing.assert_close(real[row.id], row.meaning(row.inputs()))
