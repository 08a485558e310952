"""torchvision's transformers, small, where programs without Parameter and DummyData run them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torchvision.models.maxvit import MaxVit
from torchvision.models.swin_transformer import (
    PatchMergingV2,
    SwinTransformer,
    SwinTransformerBlockV2,
)
from torchvision.models.vision_transformer import VisionTransformer

import fx2caffe
from caffe2fx.engines.opencv import OpenCVEngine
from caffe2fx.verdict.reference.calibrate import calibrate

NO_OPENCV = OpenCVEngine().why_missing()
pytestmark = [
    pytest.mark.sweep,
    pytest.mark.skipif(NO_OPENCV is not None, reason=str(NO_OPENCV)),
]


def vit() -> nn.Module:
    return VisionTransformer(32, 16, 2, 2, 16, 32, num_classes=10)


def swin() -> nn.Module:
    return SwinTransformer([4, 4], 8, [2, 2], [2, 4], [4, 4], num_classes=5)


def swin_v2() -> nn.Module:
    block, merging = SwinTransformerBlockV2, PatchMergingV2
    return SwinTransformer(
        [4, 4], 8, [2, 2], [2, 4], [4, 4], num_classes=5, block=block, downsample_layer=merging
    )


def maxvit() -> nn.Module:
    return MaxVit((32, 32), 8, 4, [8, 16], [1, 1], 2, 0.0)


@pytest.mark.parametrize("target", ["opencv", "portable"])
@pytest.mark.parametrize("build", [vit, swin, swin_v2, maxvit])
def test_opencv_runs_it_with_its_defaults(build: Callable[[], nn.Module], target: str) -> None:
    """For any batch, where the target is not for batch 1 alone."""
    x = torch.randn(1, 3, 32, 32)
    exported = fx2caffe.export(calibrate(build().eval(), [x]), x, target=target)
    assert exported.batch_is_fixed == (target == "portable"), exported.batch_faults
    for batch in (None,) if exported.batch_is_fixed else (None, 3):
        report = exported.verify("opencv", batch=batch)
        assert report.ok, str(report)
