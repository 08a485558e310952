"""A failed row of a table shows the layers that came out."""

from __future__ import annotations

from typing import Any

import pytest

import fx2caffe
from tests.rows import Row, check_exported, function


@pytest.mark.parametrize(
    ("layers", "shown"),
    [
        (("ReLU",), r"row doubled became layers=\('Eltwise',\)"),
        ({"Eltwise": 2}, r"row doubled became layers=\{'Eltwise': 1\}"),
    ],
)
def test_a_failed_row_shows_the_layers_that_came_out(layers: Any, shown: str) -> None:
    row = Row("doubled", function(lambda x: x + x), layers=layers)
    exported = fx2caffe.export(row.model(), tuple(row.inputs()))
    with pytest.raises(AssertionError, match=shown):
        check_exported(row, exported)
