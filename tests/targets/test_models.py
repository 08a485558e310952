"""torchvision's CNNs in `portable`: equal in real Caffe and in OpenCV, at every feature map."""

from __future__ import annotations

import pytest

import fx2caffe
from caffe2fx.engines.opencv import OpenCVEngine
from fx2caffe.targets import PORTABLE
from tests.models.test_torchvision import LARGE_INPUT, MODELS, model_of
from tests.rows import types

NO_OPENCV = OpenCVEngine().why_missing()
pytestmark = [
    pytest.mark.pycaffe,
    pytest.mark.skipif(NO_OPENCV is not None, reason=str(NO_OPENCV)),
]
# One of each kind: floor pooling, channel shuffle, gates and clips, averages, resizing.
QUICK = ("resnet18", "shufflenet_v2_x1_0", "mobilenet_v3_large", "inception_v3", "squeezenet1_1",
         "lraspp_mobilenet_v3_large")  # fmt: skip
OTHERS = ("convnext_tiny", "mobilenet_v3_small")
EVERY = [
    pytest.param(name, MODELS.get(name, 64), marks=() if name in QUICK else pytest.mark.sweep)
    for name in (*MODELS, *OTHERS)
]


@pytest.mark.parametrize(("name", "side"), EVERY)
def test_alike_in_caffe_and_opencv(name: str, side: int) -> None:
    check(name, side)


@pytest.mark.sweep
@pytest.mark.parametrize("name", ["resnet50", "efficientnet_b0", "deeplabv3_mobilenet_v3_large"])
def test_at_full_size(name: str) -> None:
    check(name, LARGE_INPUT.get(name, 224))


def check(name: str, side: int) -> None:
    model, x = model_of(name, side)
    exported = fx2caffe.export(model, x, target="portable")
    assert set(types(exported.net)) <= PORTABLE.types
    assert exported.batch_faults == ("target 'portable' runs batch 1 only",)
    for engine in PORTABLE.judges:
        report = exported.verify(engine)
        assert report.ok, str(report)
