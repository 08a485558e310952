"""Labels that are ignored have no loss and do not count, whatever the example's labels were."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import caffe2fx
import fx2caffe
from tests.rows import Function

SCORES = torch.linspace(-2, 3, 20).sin().mul(4).reshape(4, 5)
WEIGHTS = torch.linspace(0.5, 2, 5)
OPTIONS: dict[str, dict[str, Any]] = {
    "by default": {},
    "a class": {"ignore_index": 3},
    "the first class": {"ignore_index": 0, "weight": WEIGHTS},
    "beyond all classes": {"ignore_index": 255, "weight": WEIGHTS},
    "below all classes": {"ignore_index": -1, "label_smoothing": 0.3},
    "a smoothed class": {"ignore_index": 4, "weight": WEIGHTS, "label_smoothing": 0.3},
}


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_ignored_labels(options: dict[str, Any], reduction: str) -> None:
    model = Function(lambda x, t: F.cross_entropy(x, t, reduction=reduction, **options))
    exported = fx2caffe.export(model, (SCORES, torch.tensor([2, 1, 1, 2])))
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "net.prototxt"), Path(folder, "net.caffemodel")
        exported.save(*files)
        loaded = caffe2fx.load(*files)
    ignored = options.get("ignore_index", -100)
    for labels in ([ignored, 1, 2, ignored], [4, ignored, 3, 0], [ignored] * 4):
        found, wanted = loaded(SCORES, torch.tensor(labels)), model(SCORES, torch.tensor(labels))
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6, equal_nan=True)
