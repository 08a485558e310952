"""Facts of a net's layers are computed once, and handed on where only weights change."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import caffe2fx
import fx2caffe
from caffe2fx.net import shared_weights
from caffe2fx.net.net import Net


def test_a_load_computes_shapes_and_shared_parameters_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)).eval()
    fx2caffe.export(model, torch.randn(1, 3, 8, 8)).save(*files)
    calls: list[str] = []
    for owner, name in ((Net, "_shapes"), (shared_weights, "_shared_positions")):
        function = getattr(owner, name)

        def counted(net: Net, function=function, name=name):
            calls.append(name)
            return function(net)

        monkeypatch.setattr(owner, name, counted)
    caffe2fx.load(*files)
    assert sorted(calls) == ["_shapes", "_shared_positions"]


def test_other_layers_have_other_shapes(tmp_path: Path) -> None:
    model = nn.Conv2d(3, 4, 3).eval()
    net = fx2caffe.export(model, torch.randn(1, 3, 8, 8)).net
    before = net.shapes()
    assert net.reshaped([(2, 3, 9, 9)]).shapes() != before == net.shapes()
