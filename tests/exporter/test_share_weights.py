"""Weights that several layers share stay one: in the prototxt, in Caffe, and on the way back."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import caffe2fx
import fx2caffe
from caffe2fx.errors import ShapeMismatchError
from caffe2fx.net.net import Net
from caffe2fx.verdict.reference.calibrate import calibrate
from caffe2fx.weights import caffemodel
from caffe2fx.weights.atomic import replacing
from caffe2fx.weights.caffemodel import LayerWeights
from tests.rows import Function

X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(4))


class Siamese(nn.Module):
    """One body on two images, two linears with one weight, and a folded BatchNorm each."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3)
        self.one, self.two = nn.Linear(144, 5), nn.Linear(144, 5, bias=False)
        self.two.weight = self.one.weight
        self.norms = nn.ModuleList([nn.BatchNorm2d(3), nn.BatchNorm2d(3)])
        self.stem = nn.Conv2d(3, 3, 1)

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        left, right = self.norms[0](self.stem(left)), self.norms[1](self.stem(right))
        left, right = self.body(left).flatten(1), self.body(right).flatten(1)
        return self.one(left), self.two(right)


@pytest.fixture
def model() -> nn.Module:
    return calibrate(Siamese(), [X, X.flip(0)])


@pytest.fixture
def files(model: nn.Module, tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    fx2caffe.export(model, (X, X.flip(0))).save(*paths)
    return paths


def shared(net: Net) -> dict[str, list[str]]:
    return {step.name: [spec.name for spec in step.params] for step in net if step.params}


@pytest.mark.pycaffe
def test_names(model: nn.Module) -> None:
    exported = fx2caffe.export(model, (X, X.flip(0)))
    body = ["body/blob0", "body/blob1"]
    assert shared(exported.net) == {
        "body": body,
        "body_1": body,
        "one": ["one/blob0"],
        "two": ["one/blob0"],
    }
    report = exported.verify("pycaffe")
    assert report.ok, str(report)
    limited = fx2caffe.export(model, (X, X.flip(0)), name_alphabet="[a-z0-9_]")
    assert shared(limited.net)["body"] == ["body_blob0", "body_blob1"]
    assert limited.verify().ok


def test_the_round_trip(model: nn.Module, files: tuple[Path, Path]) -> None:
    loaded = caffe2fx.load(*files)
    for twin in (loaded, copy.deepcopy(loaded), pickle.loads(pickle.dumps(loaded))):
        assert twin.body.weight is twin.body_1.weight and twin.body.bias is twin.body_1.bias
        assert twin.one.weight is twin.two.weight
    exported = fx2caffe.export(model, (X, X.flip(0)))
    again = fx2caffe.export(loaded, (X, X.flip(0)), input_names=exported.inputs)
    assert again.net.steps == exported.net.steps


def test_tuning_keeps_them_one(files: tuple[Path, Path], tmp_path: Path) -> None:
    loaded: Any = caffe2fx.load(*files)
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.mul_(1.5)
    caffe2fx.save_weights(loaded, tmp_path / "tuned.caffemodel")
    tuned: Any = caffe2fx.load(files[0], tmp_path / "tuned.caffemodel")
    assert torch.equal(tuned.body_1.weight, loaded.body.weight)
    report = caffe2fx.compare(loaded, (files[0], tmp_path / "tuned.caffemodel"), (X, X))
    assert report.ok, str(report)


def rewritten(path: Path, change: Any) -> None:
    name, layers = caffemodel.read(path)
    kept = [layer for entry in layers for layer in change(_copied(entry))]
    with replacing(path) as new:  # loaded modules lie over the old file's memory
        caffemodel.write(new, name, kept)


def _copied(entry: LayerWeights) -> LayerWeights:
    return LayerWeights(entry.name, entry.type, tuple(b.clone() for b in entry.blobs))


@pytest.mark.pycaffe
@pytest.mark.parametrize("changed", ["body", "body_1"])
def test_the_last_one_read_counts(files: tuple[Path, Path], changed: str) -> None:
    """As in Caffe: the weights of the first layer are overwritten by the second's."""
    before: Any = caffe2fx.load(*files)

    def doubled(entry: LayerWeights) -> list[LayerWeights]:
        for blob in entry.blobs if entry.name == changed else ():
            blob.mul_(2)
        return [entry]

    rewritten(files[1], doubled)
    after: Any = caffe2fx.load(*files)
    factor = 2 if changed == "body_1" else 1
    assert torch.equal(after.body.weight, before.body.weight * factor)
    report = caffe2fx.compare(after, files, (X, X.flip(0)), engine="pycaffe")
    assert report.ok, str(report)


def test_blobs_that_only_the_owner_has(files: tuple[Path, Path]) -> None:
    """Caffe's own HDF5 files hold shared blobs once."""

    def owned(entry: LayerWeights) -> list[LayerWeights]:
        blobs = () if entry.name in ("body_1", "two") else entry.blobs
        return [LayerWeights(entry.name, entry.type, blobs)]

    before = caffe2fx.load(*files)
    rewritten(files[1], owned)
    after = caffe2fx.load(*files)
    for mine, theirs in zip(after(X, X), before(X, X), strict=True):
        assert torch.equal(mine, theirs)


NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4 } } }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a"
  param { name: "w" } inner_product_param { num_output: 6 bias_term: false } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b"
  param { name: "w" MODE } inner_product_param { num_output: 4 bias_term: false } }
"""


@pytest.mark.pycaffe
@pytest.mark.parametrize("mode", ["", "share_mode: PERMISSIVE"])
def test_shapes(tmp_path: Path, mode: str) -> None:
    files = tmp_path / "n.prototxt", tmp_path / "n.caffemodel"
    files[0].write_text(NET.replace("MODE", mode))
    blobs = torch.randn(6, 4), torch.randn(4, 6)
    layers = [LayerWeights(n, "InnerProduct", (b,)) for n, b in zip("ab", blobs, strict=True)]
    caffemodel.write(files[1], "n", layers)
    if not mode:
        message = r"layer 'b' .* shares 'w' .* \(6, 4\), got \(4, 6\)"
        with pytest.raises(ShapeMismatchError, match=message):
            caffe2fx.load(*files)
        return
    loaded: Any = caffe2fx.load(*files)
    assert torch.equal(loaded.a.weight, blobs[1].reshape(6, 4))
    report = caffe2fx.compare(loaded, files, torch.randn(1, 4), engine="pycaffe")
    assert report.ok, str(report)


def test_weights_of_ones_own_are_not_shared() -> None:
    """Constants that happen to be one tensor are nobody's parameters."""
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)).eval()
    with torch.no_grad():
        model[1].weight.copy_(model[0].weight)  # type: ignore[operator,arg-type]
    assert shared(fx2caffe.export(model, X).net) == {}
    kernel = torch.randn(3, 3, 1, 1)
    twice = Function(lambda x: F.conv2d(F.conv2d(x, kernel), kernel))
    assert shared(fx2caffe.export(twice, X).net) == {}
