"""The table of modules, layers and blobs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import fx2caffe
from caffe2fx.errors import CaffeError
from fx2caffe.exporter.result import Export


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x))) + x


@pytest.fixture
def exported() -> Export:
    model = nn.Sequential(Block(), Block()).eval()
    return fx2caffe.export(model, torch.randn(1, 3, 4, 4), name_alphabet="[A-Za-z0-9_]")


def test_the_ways_between_names(exported: Export) -> None:
    map = exported.map
    assert map.layers("1") == ("1_conv", "1_act", "1")
    assert map.layers("0.conv") == ("0_conv",)
    assert map.blob("1") == map.blob("") == exported.outputs[0]
    assert map.module("0_conv") == "0.conv"
    # BatchNorm was folded: its result is the convolution's, in the same blob as the ReLU's.
    assert map.blob("0.norm") == map.blob("0.act") == "0_conv"
    with pytest.raises(CaffeError, match=r"the map has no '0\.conv'"):
        map.blob("0.conv")
    with pytest.raises(CaffeError, match="no '2'"):
        map.layers("2")
    with pytest.raises(CaffeError, match="near names: 0_conv"):
        map.module("0.conv")


def test_a_module_that_is_called_twice() -> None:
    act = nn.Sigmoid()
    model = nn.Sequential(nn.Conv2d(3, 3, 1), act, nn.Conv2d(3, 3, 1), act).eval()
    map = fx2caffe.export(model, torch.randn(1, 3, 4, 4)).map
    assert map.layers("1") == ("1", "1_1")
    assert [place.layer for place in map if "1" in place.returned_by] == ["1_1"]


def test_rows(exported: Export) -> None:
    rows = {row.layer: row for row in exported.map}
    assert [row.layer for row in exported.map] == [step.name for step in exported.net]
    assert rows["1_conv"].shape == (1, 3, 4, 4) and rows["1_conv"].type == "Convolution"
    assert rows["1_conv"].returned_by == ("1.norm",)
    assert rows["1"].returned_by == ("1", "")
    assert rows["1"].file == __file__ and rows["1"].line > 0
    assert rows["1_act"].node == "relu_1"


def test_files(exported: Export, tmp_path: Path) -> None:
    exported.save_map(tmp_path / "m.json")
    rows = json.loads((tmp_path / "m.json").read_text())
    assert [row["layer"] for row in rows] == [row.layer for row in exported.map]
    exported.save_map(tmp_path / "m.tsv")
    lines = (tmp_path / "m.tsv").read_text().splitlines()
    assert len(lines) == 1 + len(rows)
    cells = dict(zip(lines[0].split("\t"), lines[-1].split("\t"), strict=True))
    assert cells["layer"] == "1" and cells["returned_by"] == "1 ."
    with pytest.raises(CaffeError, match=r"\.json or \.tsv"):
        exported.save_map(tmp_path / "m.csv")
    assert len(list(tmp_path.iterdir())) == 2
