"""Infinities, NaN and large values: real Caffe's results are torch's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import fx2caffe
from caffe2fx.engines import Engine, engine
from fx2caffe.exporter.result import Export
from tests.ops.edges import EDGES
from tests.rows import Function


def computed(exported: Export, x: Tensor, folder: Path, program: str | Engine) -> Tensor:
    """Return an engine's result for the only output."""
    files = folder / "net.prototxt", folder / "net.caffemodel"
    exported.save(*files)
    (output,) = exported.net.outputs
    with engine(program).open(*files) as session:
        results = session.run([x.float()])
        pairs = zip(exported.net.steps, results, strict=True)
        tops = [zip(mine.tops, values, strict=True) for mine, (_, values) in pairs]
    return next(top for pair in tops for value, top in pair if value == output)


@pytest.mark.pycaffe
@pytest.mark.parametrize("name", EDGES)
def test_edges(name: str, tmp_path: Path, caffe: Engine) -> None:
    function, x = EDGES[name]
    exported = fx2caffe.export(Function(function), x)
    wanted = function(x).float()
    for program in ("torch", caffe):
        found = computed(exported, x, tmp_path, program)
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=3e-7, equal_nan=True)
