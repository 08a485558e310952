"""Recurrent layers that go on from forward to forward in Caffe, and their fillers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import caffe2fx
from caffe2fx.engines.pycaffe import PycaffeEngine
from caffe2fx.module.save import weights_of
from caffe2fx.net.evaluate import own_reference
from caffe2fx.verdict.judge import judge
from caffe2fx.weights import caffemodel

NET = """
layer { name: "in" type: "Input" top: "x" top: "cont"
        input_param { shape { dim: 3 dim: 2 dim: 4 } shape { dim: 3 dim: 2 } } }
layer { name: "one" type: "LSTM" bottom: "x" bottom: "cont" top: "h"
        recurrent_param { num_output: 5 weight_filler { type: "uniform" min: -1 max: 1 }
                          bias_filler { value: 0.5 } } }
layer { name: "two" type: "RNN" bottom: "h" bottom: "cont" top: "y"
        recurrent_param { num_output: 3 weight_filler { type: "uniform" min: -1 max: 1 }
                          bias_filler { value: 0.25 } } }
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "net.prototxt").write_text(NET)
    torch.manual_seed(0)
    loaded = caffe2fx.load(tmp_path / "net.prototxt")
    caffemodel.write(tmp_path / "net.caffemodel", "", weights_of(loaded.caffe.net))
    return tmp_path / "net.prototxt", tmp_path / "net.caffemodel"


def test_fillers_reach_every_blob(files: tuple[Path, Path]) -> None:
    one, two = [step.blobs for step in caffe2fx.load(*files).caffe.net.steps[1:]]
    for blob in (one[0], one[2], two[0], two[2], two[3]):
        assert blob.abs().max() <= 1 and blob.std() > 0.2
    assert bool((one[1] == 0.5).all())
    assert bool((two[1] == 0.25).all()) and bool((two[4] == 0.25).all())


@pytest.mark.pycaffe
def test_every_run_is_a_first_one(files: tuple[Path, Path]) -> None:
    inputs = [torch.randn(3, 2, 4), torch.ones(3, 2)]
    with PycaffeEngine().open(*files) as session:
        first, second = ([tops for _, tops in session.run(inputs)] for _ in range(2))
    for tops, others in zip(first, second, strict=True):
        assert all(map(torch.equal, tops, others))


@pytest.mark.pycaffe
def test_the_verdict_is_of_the_first_forward(files: tuple[Path, Path]) -> None:
    loaded = caffe2fx.load(*files)
    inputs = [torch.randn(3, 2, 4), torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.5, 1.0]])]
    with PycaffeEngine().open(*files) as session:
        net = loaded.caffe.net
        report = judge(net, session, own_reference(net), inputs, engine="pycaffe")
    assert report.ok, str(report)
