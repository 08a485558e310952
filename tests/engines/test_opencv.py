"""Engine opencv: OpenCV's own importer, also for names that it would split."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import caffe2fx
import fx2caffe
from caffe2fx.engines import engine
from caffe2fx.engines.opencv import OpenCVEngine
from caffe2fx.errors import EngineError
from caffe2fx.verdict.reference.calibrate import calibrate
from tests.rows import Function

pytestmark = pytest.mark.skipif(
    OpenCVEngine().why_missing() is not None, reason=str(OpenCVEngine().why_missing())
)


class Net(nn.Module):
    """Dotted names, in-place layers, two outputs of which one is read inside."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.Softmax(1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.body(x)
        z = nn.functional.max_pool2d(y, 2)
        return self.head(z), z


@pytest.mark.parametrize("batch", [None, 3])
def test_every_feature_map(batch: int | None) -> None:
    model = calibrate(Net(), [torch.randn(8, 3, 10, 10)])
    exported = fx2caffe.export(model, torch.randn(1, 3, 10, 10))
    report = exported.verify("opencv", batch=batch)
    assert report.ok, str(report)
    assert len(report.rows) == len(exported.net.steps) - 1


def test_finds_a_wrong_layer(tmp_path: Path) -> None:
    model = calibrate(Net(), [torch.randn(8, 3, 10, 10)])
    exported = fx2caffe.export(model, torch.randn(1, 3, 10, 10))
    files = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    exported.save(*files)
    loaded = caffe2fx.load(*files)
    with torch.no_grad():
        loaded.get_submodule("head_1").weight[0, 0] += 0.1
    report = caffe2fx.compare(files, loaded, torch.randn(1, 3, 10, 10), engine="opencv")
    assert not report.ok and report.first_divergence is not None
    assert report.first_divergence.layer == "head.1"


def test_two_inputs() -> None:
    exported = fx2caffe.export(
        Function(lambda a, b: (a + b).relu()), (torch.randn(1, 3, 4, 4), torch.randn(1, 3, 4, 4))
    )
    assert exported.verify("opencv").ok


def test_opencvs_refusal_is_an_error_with_its_message() -> None:
    exported = fx2caffe.export(nn.MaxPool2d(2), torch.randn(1, 3, 5, 5))
    with pytest.raises(EngineError, match="DummyData"):
        exported.verify("opencv")


def test_description_names_the_version() -> None:
    assert engine("opencv").describe().startswith("OpenCV 4.")
