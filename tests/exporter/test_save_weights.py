"""Weights alone, for a prototxt that is there: only if nothing else has changed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import caffe2fx
import fx2caffe
from caffe2fx.errors import CaffeError
from caffe2fx.module.save import weights_suffix
from caffe2fx.weights import caffemodel
from fx2caffe.exporter.result import Export

X = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(2))


def build() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 5)
    ).eval()


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    fx2caffe.export(build(), X).save(*paths)
    return paths


def test_new_weights(files: tuple[Path, Path]) -> None:
    text, model = files[0].read_bytes(), build()
    fx2caffe.export(model, X).save_weights(*files)
    assert files[0].read_bytes() == text
    torch.testing.assert_close(caffe2fx.load(*files)(X), model(X), rtol=1e-5, atol=1e-6)
    h5 = files[1].with_suffix(".h5")
    fx2caffe.export(model, X).save_weights(files[0], h5)
    torch.testing.assert_close(caffe2fx.load(files[0], h5)(X), model(X), rtol=1e-5, atol=1e-6)


CHANGES = [
    ("num_output: 4", "num_output: 6", r"layer '0' .* needs num_output 4, got 6 \(.*prototxt:"),
    ("pad: 1", "pad: 2", r"layer '0' .* needs pad \(1,\), got \(2,\)"),
    ('name: "1"', 'name: "one"', "layer '1' .* needs name '1', got 'one'"),
    ('type: "ReLU"', 'type: "Sigmoid"', "layer '1' .* needs type 'ReLU', got 'Sigmoid'"),
    ("dim: 8", "dim: 16", "needs sizes after the batch"),
    ('name: "Sequential"', 'name: "Other"', "needs name 'Sequential', got 'Other'"),
    ('  name: "3"\n', '  name: "3"\n  param { lr_mult: 0 }\n', r"layer '3' .* needs param \(\)"),
]


@pytest.mark.parametrize(("old", "new", "message"), CHANGES)
def test_anything_else_is_refused(
    files: tuple[Path, Path], old: str, new: str, message: str
) -> None:
    text, weights = files[0].read_text(), files[1].read_bytes()
    assert old in text
    files[0].write_text(text.replace(old, new, 1))
    with pytest.raises(CaffeError, match=message):
        fx2caffe.export(build(), X).save_weights(*files)
    assert files[1].read_bytes() == weights and len(list(files[0].parent.iterdir())) == 2


def test_a_layer_more_or_less(files: tuple[Path, Path]) -> None:
    longer = nn.Sequential(*build(), nn.ReLU()).eval()
    with pytest.raises(CaffeError, match=r"needs a layer '4' \(ReLU\), got none"):
        fx2caffe.export(longer, X).save_weights(*files)
    fx2caffe.export(longer, X).save(*files)
    with pytest.raises(CaffeError, match="needs no layer '4', got one"):
        fx2caffe.export(build(), X).save_weights(*files)


def test_the_batch_may_differ_where_it_is_free(files: tuple[Path, Path]) -> None:
    files[0].write_text(files[0].read_text().replace("dim: 1\n", "dim: 7\n", 1))
    exported = fx2caffe.export(build(), X)
    exported.save_weights(*files)
    assert caffe2fx.load(*files).caffe.net.shapes()[exported.net.inputs[0]][0] == 7
    fixed = Export(
        exported.net, exported.trace, (X,), exported.nodes, exported.target, batch_faults=("so",)
    )
    with pytest.raises(CaffeError, match="layer 'data'"):
        fixed.save_weights(*files)


@pytest.mark.pycaffe
def test_weights_too_large_for_a_caffemodel_are_verified_from_hdf5(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caffemodel, "SIZE_LIMIT", 100)
    made = fx2caffe.export(nn.Sequential(build(), nn.GELU()).eval(), X)
    assert not any("/" in step.name for step in made.net.steps)
    assert made.verify("pycaffe").ok and weights_suffix(made.net) == ".caffemodel.h5"
    with pytest.raises(CaffeError, match=r"write a \.caffemodel\.h5"):
        made.save(tmp_path / "net.prototxt", tmp_path / "net.caffemodel")


class Renorm(torch.nn.Module):
    """A model with a fixed batch, and one with a placeholder."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.lgamma(x.renorm(2, 1, 2.4).abs() + 1)


def test_the_text_names_no_folder_of_this_machine() -> None:
    net = fx2caffe.export(Renorm(), torch.randn(2, 8, 3), on_unsupported="custom")
    header = [line for line in net.prototxt.splitlines() if line.startswith("#")]
    assert any("lgamma" in line for line in header)
    assert "test_save_weights.py" in str(net.unverified[0])
    assert not [line for line in header if ".py" in line]
