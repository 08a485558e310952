"""torchvision's transformers, small, where programs without Parameter and DummyData run them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.models.vision_transformer import VisionTransformer

import fx2caffe
from caffe2fx.engines.opencv import OpenCVEngine
from caffe2fx.verdict.calibrate import calibrate

NO_OPENCV = OpenCVEngine().why_missing()
pytestmark = [
    pytest.mark.sweep,
    pytest.mark.skipif(NO_OPENCV is not None, reason=str(NO_OPENCV)),
]


def vit() -> nn.Module:
    return VisionTransformer(32, 16, 2, 2, 16, 32, num_classes=10)


def swin() -> nn.Module:
    return SwinTransformer([4, 4], 8, [2, 2], [2, 4], [4, 4], num_classes=5)


@pytest.mark.parametrize(
    ("build", "target"), [(vit, "opencv"), (vit, "portable"), (swin, "opencv")]
)
def test_opencv_runs_it_with_its_defaults(build: Callable[[], nn.Module], target: str) -> None:
    x = torch.randn(1, 3, 32, 32)
    exported = fx2caffe.export(calibrate(build().eval(), [x]), x, target=target)
    report = exported.verify("opencv")
    assert report.ok, str(report)
