"""Fillers that Caffe stops on are refused, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

import caffe2fx
from caffe2fx.engines.pycaffe import Worker
from caffe2fx.errors import CaffeError, EngineError

NET = """layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 4 } } }
layer { name: "f" type: "InnerProduct" bottom: "d" top: "f"
  inner_product_param { num_output: 2 weight_filler { %s } } }
"""

REFUSED = {
    'type: "gaussian" std: 0': "std > 0, got 0.0",
    'type: "gaussian" std: -1': "std > 0, got -1.0",
    'type: "gaussian" std: nan': "std > 0, got nan",
    'type: "gaussian" sparse: 3': r"sparse from 0 to its first size, got 3 for \(2, 4\)",
    'type: "gaussian" sparse: -5': "sparse from 0 to its first size, got -5",
    'type: "uniform" sparse: 1': "needs a gaussian filler for sparse, got 'uniform'",
    'type: "xavier" sparse: 1': "needs a gaussian filler for sparse, got 'xavier'",
    'type: "msra" sparse: 1': "needs a gaussian filler for sparse, got 'msra'",
    'type: "constant" sparse: 1': "needs a gaussian filler for sparse, got 'constant'",
    'type: "positive_unitball" sparse: 1': "needs a gaussian filler for sparse",
    'type: "uniform" min: 1 max: -1': "min <= max, got 1.0 and -1.0",
    'type: "uniform" min: nan': "min <= max, got nan and 1.0",
    'type: "bilinear"': r"4-D shape with square images for a bilinear filler, got \(2, 4\)",
    'type: "orthogonal"': "filler needs to be one of",
}
TAKEN = ('type: "gaussian" sparse: 0', 'type: "gaussian" sparse: 2', 'type: "uniform" min: 1')
UNBOUNDED = 'type: "uniform" min: -3e38 max: 3e38'  # Caffe draws infinities


@pytest.mark.parametrize(("filler", "reason"), [*REFUSED.items(), (UNBOUNDED, "min <= max")])
def test_refused(tmp_path: Path, filler: str, reason: str) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(NET % filler)
    with pytest.raises(
        CaffeError, match=rf"layer 'f' \(InnerProduct\) .*{reason}.*net\.prototxt:2"
    ):
        caffe2fx.load(path)


@pytest.mark.pycaffe
@pytest.mark.parametrize("filler", REFUSED)
def test_real_caffe_stops_on_it(tmp_path: Path, filler: str) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(NET % filler)
    with Worker() as worker, pytest.raises(EngineError, match=r"Check failed|Unknown filler"):
        worker.ask("load", prototxt=str(path), weights="", phase="TEST")


@pytest.mark.pycaffe
def test_fillers_that_caffe_takes(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    with Worker() as worker:
        for filler in TAKEN:
            path.write_text(NET % filler)
            caffe2fx.load(path)
            worker.ask("load", prototxt=str(path), weights="", phase="TEST")
