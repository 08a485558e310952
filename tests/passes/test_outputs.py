"""Every output is a blob of its own that Caffe publishes under the name it has in the export."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import fx2caffe
from caffe2fx.engines.pycaffe import PycaffeEngine
from tests.rows import Function

ROWS: dict[str, tuple[Callable[[Tensor], Any], tuple[str, ...]]] = {
    "one": (lambda x: x + 1, ("add",)),
    "the input": (lambda x: (x, x + 1), ("data/output", "add")),
    "twice": (lambda x: (y := x + 1, y), ("add/output", "add/output_1")),
    "twice, once inside": (
        lambda x: (y := x + 1, [y.relu(), {"again": y}]),
        ("add/output", "relu", "add/output_1"),
    ),
    "the input twice": (lambda x: (x, x), ("data/output", "data/output_1")),
    "views": (
        lambda x: {"a": (y := x + 1), "b": y.view_as(y), "c": [y.contiguous(), y[:]]},
        ("add/output", "add/output_1", "add/output_2", "add/output_3"),
    ),
    "dropout": (
        lambda x: (y := x + 1, F.dropout(y, training=False)),
        ("add/output", "add/output_1"),
    ),
    "read and twice": (
        lambda x: (y := x + 1, y.relu(), y),
        ("add/output", "relu", "add/output_1"),
    ),
    "overwritten in place": (lambda x: ((y := x + 1), y.relu_()), ("relu/output", "relu/output_1")),
}  # fmt: skip


@pytest.mark.pycaffe
@pytest.mark.parametrize("name", ROWS)
def test_outputs(name: str) -> None:
    body, outputs = ROWS[name]
    x = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    exported = fx2caffe.export(Function(body), x)
    assert exported.outputs == outputs
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "net.prototxt"), Path(folder, "net.caffemodel")
        exported.save(*files)
        with PycaffeEngine().open(*files) as session:
            for _ in session.run([x]):
                pass
            published = session.published()
    assert sorted(published) == sorted(outputs)
    again = exported.rebuild([published[output] for output in outputs])
    torch.testing.assert_close(again, Function(body)(x.clone()), rtol=1e-6, atol=1e-6)
    assert exported.verify("pycaffe").ok
