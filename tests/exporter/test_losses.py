"""An exported net's losses have the weights that the loaded net's losses have."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import caffe2fx
import fx2caffe

NET = """
layer { name: "x" type: "Input" top: "x" top: "t"
  input_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 4 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "t" top: "loss" %s }
"""
X = torch.linspace(-1, 1, 6).reshape(2, 3), torch.linspace(0, 2, 8).reshape(2, 4)


@pytest.mark.parametrize("weight", ["", "loss_weight: 0.25", "loss_weight: 0"])
def test_a_loss_weight_survives_the_export(weight: str, tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(NET % weight)
    loaded = caffe2fx.load(tmp_path / "net.prototxt")
    files = tmp_path / "again.prototxt", tmp_path / "again.caffemodel"
    fx2caffe.export(loaded, X).save(*files)
    again = caffe2fx.load(*files)
    torch.testing.assert_close(again.caffe.loss(*X), loaded.caffe.loss(*X))
