"""Names with "/" in HDF5, where it separates groups: real Caffe does not find such layers."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest
import torch
from torch import nn

import caffe2fx
import fx2caffe
from fx2caffe.exporter.result import Export
from tests.files.caffes_own import real_blobs

X = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(2))


class TwoNames(nn.Module):
    """Holds a layer whose own name is what another's becomes."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.norm_bn = nn.Conv2d(3, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.norm_bn(self.norm(x).relu())
        return result


def _saved(folder: Path) -> tuple[Export, tuple[Path, Path]]:
    made = fx2caffe.export(TwoNames().eval(), X, fold_batchnorm=False)
    files = folder / "net.prototxt", folder / "net.caffemodel.h5"
    made.save(*files)
    return made, files


def test_layers_are_saved_under_names_that_are_found(tmp_path: Path) -> None:
    made, files = _saved(tmp_path)
    assert "norm/bn" in {step.name for step in made.net.steps}
    loaded = caffe2fx.load(*files)
    names = [step.name for step in loaded.caffe.net.steps]
    assert not any("/" in name for name in names) and len(set(names)) == len(names)
    assert {"norm_bn", "norm_bn_1"} <= set(names)
    blobs = [top.blob for step in made.net.steps for top in step.tops]
    assert [top.blob for step in loaded.caffe.net.steps for top in step.tops] == blobs
    torch.testing.assert_close(loaded(X), made.reference([X])[made.net.outputs[0]])
    report = made.verify(files=files)
    assert report.ok, str(report)
    made.save_weights(*files)
    assert made.verify(files=files).ok


@pytest.mark.pycaffe
def test_real_caffe_finds_them(tmp_path: Path) -> None:
    made, files = _saved(tmp_path)
    report = made.verify("pycaffe", files=files)
    assert report.ok, str(report)


@pytest.mark.pycaffe
@pytest.mark.parametrize(("name", "factor"), [("a_b", 1), ("a/b", 0)])
def test_real_caffe_reads_the_first_groups_alone(tmp_path: Path, name: str, factor: int) -> None:
    text, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel.h5"
    text.write_text(
        'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: [2, 3] } } }'
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "x" top: "y"'
        " inner_product_param { num_output: 1 bias_term: false } }"
    )
    with h5py.File(weights, "w") as file:
        file[f"data/{name}/0"] = torch.ones(1, 3).numpy()
    x = torch.rand(2, 3)
    found = real_blobs(text, weights, x)["y"]
    torch.testing.assert_close(found, factor * x.sum(1, keepdim=True))
