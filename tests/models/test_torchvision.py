"""Whole networks of torchvision: out, through real Caffe, and back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

import caffe2fx
import fx2caffe
from caffe2fx.verdict.reference.calibrate import calibrate
from fx2caffe.targets import find_target
from tests.rows import types

# The side of the image where a smaller one than 224 will do, to be quick.
MODELS = {
    "alexnet": 96,
    "vgg16_bn": 64,
    "resnet18": 96,
    "resnet50": 64,
    "squeezenet1_1": 96,
    "googlenet": 64,
    "densenet121": 64,
    "resnext50_32x4d": 64,
    "wide_resnet50_2": 64,
    "inception_v3": 128,
    "mobilenet_v2": 64,
    "mobilenet_v3_large": 64,
    "mnasnet1_0": 64,
    "shufflenet_v2_x1_0": 64,
    "efficientnet_b0": 64,
    "efficientnet_v2_s": 64,
    "regnet_x_400mf": 64,
    "regnet_y_400mf": 64,
    "fcn_resnet50": 65,
    "deeplabv3_resnet50": 65,
    "deeplabv3_mobilenet_v3_large": 65,
    "lraspp_mobilenet_v3_large": 65,
}
LARGE_INPUT = {"inception_v3": 299}
# The layers that the parser of April 2017 knows (no Clip, Swish, round_mode).
OLD = find_target("bvlc").types
SEGMENTATION = {"weights_backbone": None}


def model_of(name: str, side: int) -> tuple[nn.Module, torch.Tensor]:
    """Return the model with weights that keep its signal alive, and an input."""
    segments = name.startswith(("fcn", "deeplab", "lraspp"))
    quick = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    options = SEGMENTATION if segments else quick
    model = torchvision.models.get_model(name, weights=None, **options)
    # Statistics of few samples do not hold for another input: deep nets then explode.
    calibrate(model, [torch.randn(16 if side < 200 else 4, 3, side, side)])
    return model, torch.randn(1, 3, side, side)


@pytest.mark.pycaffe
@pytest.mark.parametrize("name", MODELS)
def test_out_and_back(name: str, tmp_path: Path) -> None:
    model, x = model_of(name, MODELS[name])
    exported = fx2caffe.export(model, x)
    assert set(types(exported.net)) <= OLD
    assert exported.inputs == ("data",)
    for batch in (None, 3):
        report = exported.verify("pycaffe", batch=batch)
        assert report.ok, str(report)
    files = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    exported.save(*files)
    assert "round_mode" not in files[0].read_text()
    loaded = caffe2fx.load(*files)
    report = caffe2fx.compare(files, loaded, x, engine="pycaffe")
    assert report.ok, str(report)
    assert fx2caffe.export(loaded, x).net == exported.net


@pytest.mark.pycaffe
@pytest.mark.sweep
@pytest.mark.parametrize("name", MODELS)
def test_at_full_size(name: str) -> None:
    model, x = model_of(name, LARGE_INPUT.get(name, 224))
    exported = fx2caffe.export(model, x)
    for batch in (None, 3):
        report = exported.verify("pycaffe", batch=batch)
        assert report.ok, str(report)
