"""Idle layers go, affine ones are folded, and an optimized module refuses what it cannot do."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

import caffe2fx
import fx2caffe
from caffe2fx.errors import CaffeError
from tests.optimize.test_optimize import Files, check_equal, files
from tests.rows import types

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { %s } } }\n'
IMAGE = "dim: 1 dim: 4 dim: 6 dim: 6"
CONV = """layer { name: "conv" type: "Convolution" bottom: "x" top: "conv" convolution_param {
  num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } bias_filler { type: "gaussian" } } }
"""
RELU = 'layer { name: "relu" type: "ReLU" bottom: "%s" top: "relu" }\n'


def layer(name: str, type: str, bottom: str, more: str = "", top: str | None = None) -> str:
    """Return the text of a layer with one bottom and one top of its own name."""
    blobs = f'bottom: "{bottom}" top: "{top or name}"'
    return f'layer {{ name: "{name}" type: "{type}" {blobs} {more} }}\n'


def reshape(name: str, bottom: str, dims: str) -> str:
    return layer(name, "Reshape", bottom, f"reshape_param {{ shape {{ {dims} }} }}")


@dataclass(frozen=True)
class Text:
    """Holds the layers of a net after its input, and those that are left of them."""

    id: str
    text: str
    layers: tuple[str, ...]
    dims: str = IMAGE


DROP = layer("drop", "Dropout", "conv", top="conv")
BACK = "dim: 0 dim: 4 dim: 4 dim: 4"
TEXTS = (
    Text("dropout", CONV + DROP + RELU % "conv", ("Convolution", "ReLU")),
    Text("dropout that writes an output", CONV + DROP, ("Convolution", "Dropout")),
    Text("dropout that drops in any phase", CONV + layer("drop", "Dropout", "conv", "phase: TRAIN")
         + RELU % "drop", ("Convolution", "Dropout", "ReLU")),
    Text("split", CONV + layer("split", "Split", "conv", 'top: "b"', top="a")
         + 'layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum" }',
         ("Convolution", "Eltwise")),
    Text("power", CONV + layer("p", "Power", "conv") + RELU % "p", ("Convolution", "ReLU")),
    Text("power that doubles", CONV + layer("p", "Power", "conv", "power_param { scale: 2 }")
         + RELU % "p", ("Convolution", "Power", "ReLU")),
    Text("tile", CONV + layer("t", "Tile", "conv", "tile_param { tiles: 1 }") + RELU % "t",
         ("Convolution", "ReLU")),
    Text("reshape and back", CONV + layer("flat", "Flatten", "conv") + reshape("back", "flat", BACK)
         + RELU % "back", ("Convolution", "ReLU")),
    Text("reshape and elsewhere", CONV + layer("flat", "Flatten", "conv")
         + reshape("back", "flat", "dim: 0 dim: 8 dim: 2 dim: 4") + RELU % "back",
         ("Convolution", "Flatten", "Reshape", "ReLU")),
    Text("reshape that swaps a batch of 1", reshape("r", "x", "dim: 1 dim: -1 dim: 3") + RELU % "r",
         ("Reshape", "ReLU"), dims="dim: 1 dim: 1 dim: 3"),
    Text("silence", CONV + RELU % "conv" + layer("dead", "TanH", "conv")
         + 'layer { name: "hush" type: "Silence" bottom: "dead" }', ("Convolution", "ReLU")),
)  # fmt: skip


@pytest.mark.parametrize("row", TEXTS, ids=[row.id for row in TEXTS])
def test_idle_layers_go(row: Text, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(INPUT % row.dims + row.text)
    torch.manual_seed(0)
    plain = caffe2fx.load(path)
    torch.manual_seed(0)
    # In the format of the other, for equal sums.
    fast = caffe2fx.load(path, optimize=True).to(memory_format=torch.contiguous_format)
    assert types(fast.caffe.net) == row.layers
    if "any phase" not in row.id:
        for count in (1, 2):
            x = torch.randn(count, *plain.caffe.net.shapes()[plain.caffe.net.inputs[0]][1:])
            assert torch.equal(plain(x), fast(x))


@dataclass(frozen=True)
class Fold:
    """Holds a model whose net keeps its BatchNorm layers in the file, and what is left of them."""

    id: str
    model: nn.Module
    layers: tuple[str, ...]
    shape: tuple[int, ...] = (2, 4, 6, 6)


FOLDS = (
    Fold("convolution", nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU()),
         ("Convolution", "ReLU")),
    Fold("without a bias", nn.Sequential(nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6)),
         ("Convolution",)),
    Fold("groups", nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6)),
         ("Convolution",)),
    Fold("deconvolution", nn.Sequential(nn.ConvTranspose2d(4, 6, 3, groups=2), nn.BatchNorm2d(6)),
         ("Deconvolution",)),
    Fold("inner product", nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6)), ("InnerProduct",),
         (3, 5)),
    Fold("alone", nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4)), ("ReLU", "Scale")),
    Fold("after an activation", nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU(), nn.BatchNorm2d(6)),
         ("Convolution", "ReLU", "Scale")),
)  # fmt: skip


@pytest.mark.parametrize("row", FOLDS, ids=[row.id for row in FOLDS])
def test_affine_layers_are_folded(row: Fold, tmp_path: Path) -> None:
    made = files(tmp_path, row.model, row.shape)
    assert "BatchNorm" in types(made.load().caffe.net)
    assert types(check_equal(made).caffe.net) == row.layers


@pytest.fixture
def folded(tmp_path: Path) -> Files:
    """Return the files of a convolution with a BatchNorm."""
    model = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    return files(tmp_path, model, (2, 4, 6, 6))


def test_steps_with_other_readers_are_not_folded(folded: Files) -> None:
    names = list(folded.load().caffe.net.names())
    module = check_equal(folded, outputs=[names[1], names[-1]])
    assert types(module.caffe.net) == ("Convolution", "Scale", "ReLU")


def test_statistics_of_the_batch_are_not_folded(folded: Files) -> None:
    text = folded.text.read_text()
    own = 'type: "BatchNorm"\n  batch_norm_param { use_global_stats: false }'
    folded.text.write_text(text.replace('type: "BatchNorm"', own))
    assert "BatchNorm" in types(check_equal(folded).caffe.net)


def test_shared_weights_are_folded_into_one_of_their_layers(tmp_path: Path) -> None:
    conv = CONV.replace('top: "conv"', 'top: "%s" param { name: "w" } param { name: "b" }')
    scale = ('scale_param { bias_term: true filler { type: "gaussian" } '
             'bias_filler { type: "gaussian" } }')  # fmt: skip
    text = INPUT % IMAGE + conv % "a" + conv.replace('"conv"', '"again"') % "b"
    text += layer("norm", "Scale", "a", scale)
    (tmp_path / "net.prototxt").write_text(text)
    torch.manual_seed(0)
    plain = caffe2fx.load(tmp_path / "net.prototxt")
    caffe2fx.save_weights(plain, tmp_path / "net.caffemodel")
    x = torch.randn(1, 4, 6, 6, dtype=torch.float64)
    made = Files(tmp_path / "net.prototxt", tmp_path / "net.caffemodel", x)
    assert types(check_equal(made).caffe.net) == ("Convolution", "Convolution")


def test_blobs_are_those_of_the_net_that_runs(folded: Files) -> None:
    plain, fast = folded.load(), folded.load(optimize=True)
    whole, left = plain.caffe.blobs(folded.x), fast.caffe.blobs(folded.x)
    last = plain.caffe.outputs[0]
    torch.testing.assert_close(left[last], whole[last], rtol=1e-6, atol=1e-6)
    assert len(left) < len(whole)


def test_copies_are_optimized_too(folded: Files) -> None:
    fast = folded.load(optimize=True)
    for twin in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):
        assert torch.equal(twin(folded.x), fast(folded.x))
        with pytest.raises(CaffeError, match="loaded without optimize"):
            twin.train()


def test_uses_that_an_optimized_module_does_not_allow_are_refused(
    folded: Files, tmp_path: Path
) -> None:
    fast = folded.load(optimize=True)
    with pytest.raises(CaffeError, match="save_weights needs a module loaded without optimize"):
        caffe2fx.save_weights(fast, tmp_path / "no.caffemodel")
    assert not (tmp_path / "no.caffemodel").exists()
    with pytest.raises(CaffeError, match="train needs a module loaded without optimize"):
        nn.Sequential(fast).train()
    assert not fast.eval().training
    with pytest.raises(CaffeError, match="optimize needs phase TEST, got TRAIN"):
        folded.load(optimize=True, phase="TRAIN")


def test_an_optimized_module_is_compared(folded: Files) -> None:
    fast = caffe2fx.load(folded.text, folded.weights, optimize=True)
    x = folded.x.float()
    report = caffe2fx.compare(fast, (folded.text, folded.weights), x)
    assert report.ok, report.summary()
    plain = caffe2fx.load(folded.text, folded.weights)
    report = caffe2fx.compare(plain, fast, x)
    assert report.ok, report.summary()


def test_a_dump_is_held_against_the_layers_of_the_file_alone(folded: Files, tmp_path: Path) -> None:
    caffe2fx.load(folded.text, folded.weights).caffe.dump(tmp_path / "maps.npz", folded.x.float())
    fast = caffe2fx.load(folded.text, folded.weights, optimize=True)
    with pytest.raises(CaffeError, match="dump needs a module loaded without optimize"):
        caffe2fx.compare(fast, caffe2fx.read_dump(tmp_path / "maps.npz"))


def test_an_optimized_module_is_exported(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Hardswish(), nn.GELU())
    made = files(tmp_path, model, (2, 4, 6, 6))
    fast = caffe2fx.load(made.text, made.weights, optimize=True)
    report = fx2caffe.export(fast, made.x.float()).verify()
    assert report.ok, report.summary()


def test_convolutions_run_with_channels_last(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(INPUT % IMAGE + CONV + RELU % "conv", encoding="utf-8")
    x = torch.randn(1, 4, 6, 6)
    assert caffe2fx.load(path, optimize=True)(x).is_contiguous(memory_format=torch.channels_last)
    assert caffe2fx.load(path)(x).is_contiguous()
