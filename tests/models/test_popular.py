"""The nets that users of Caffe converters ask for most, for the targets that they ask for."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import pytest
import torch
from torch import nn

import fx2caffe
from caffe2fx.engines import Engine
from caffe2fx.engines.opencv import OpenCVEngine
from caffe2fx.verdict.reference.calibrate import calibrate
from fx2caffe.targets import TARGETS
from tests.models import detectors, others
from tests.rows import types

pytestmark = pytest.mark.by_row
Shape = tuple[int, ...]
IMAGE = (1, 3, 32, 32)
NETS: dict[str, tuple[Callable[[], nn.Module], tuple[Shape, ...]]] = {
    "yolo_v3": (detectors.YoloV3, (IMAGE,)),
    "yolo_v3_boxes": (partial(detectors.YoloV3, decode=True), (IMAGE,)),
    "yolo_v5": (detectors.YoloV5, (IMAGE,)),
    "yolo_v5_boxes": (partial(detectors.YoloV5, decode=True), (IMAGE,)),
    "yolo_v8": (detectors.YoloV8, (IMAGE,)),
    "yolo_v8_boxes": (partial(detectors.YoloV8, decode=True), (IMAGE,)),
    "yolo_v11": (partial(detectors.YoloV8, attention=True), (IMAGE,)),
    "yolo_v11_boxes": (partial(detectors.YoloV8, decode=True, attention=True), (IMAGE,)),
    "retinaface": (detectors.RetinaFace, (IMAGE,)),
    "centernet": (detectors.CenterNet, (IMAGE,)),
    "centernet_peaks": (partial(detectors.CenterNet, peaks=True), (IMAGE,)),
    "openpose": (others.OpenPose, (IMAGE,)),
    "hrnet": (others.HRNet, (IMAGE,)),
    "unet": (others.UNet, ((1, 3, 30, 34),)),
    "espcn": (others.ESPCN, ((1, 1, 12, 12),)),
    "fsrcnn": (others.FSRCNN, ((1, 1, 12, 12),)),
    "lprnet": (others.LPRNet, ((1, 3, 24, 48),)),
    "crnn": (others.CRNN, ((1, 1, 8, 24),)),
    "crnn_scores": (partial(others.CRNN, logarithms=False), ((1, 1, 8, 24),)),
    "mobilefacenet": (others.MobileFaceNet, ((1, 3, 16, 16),)),
    "siamese": (others.Siamese, (IMAGE, IMAGE)),
    "multitask": (others.MultiTask, (IMAGE,)),
}


@lru_cache(maxsize=4)
def exported(name: str, target: str) -> fx2caffe.Export:
    """Return the net with weights that keep its signal alive, for one target."""
    made, shapes = NETS[name]
    torch.manual_seed(0)
    inputs = [torch.randn(shape) for shape in shapes]
    return fx2caffe.export(calibrate(made(), inputs), tuple(inputs), target=target)


@pytest.mark.pycaffe
@pytest.mark.parametrize("name", NETS)
def test_in_real_caffe(name: str, caffe: Engine) -> None:
    report = exported(name, "bvlc").verify(caffe)
    assert report.ok, str(report)


NO_OPENCV = OpenCVEngine().why_missing()


def engine_for(exported: fx2caffe.Export, target: str, caffe: Engine) -> str | Engine:
    """Return real Caffe; for nets with a layer of its forks the one that has those."""
    own = set(types(exported.net)) <= TARGETS["bvlc"].types
    assert own or target == "nnie"
    return caffe if own else "torch"


# Their output has the time as axis 0, which ncnn drops: (12, 1, 5).
TIME_FIRST = ("crnn", "crnn_scores")
PORTABLE = [name for name in NETS if name not in TIME_FIRST]


@pytest.mark.parametrize("name", TIME_FIRST)
def test_time_before_the_batch_is_not_portable(name: str) -> None:
    with pytest.raises(fx2caffe.UnsupportedError, match="needs a value whose axis 0 is 1"):
        exported(name, "portable")


@pytest.mark.skipif(NO_OPENCV is not None, reason=str(NO_OPENCV))
@pytest.mark.parametrize("name", TIME_FIRST)
def test_time_before_the_batch_in_opencv(name: str) -> None:
    report = exported(name, "opencv").verify("opencv")
    assert report.ok, str(report)


@pytest.mark.pycaffe
@pytest.mark.parametrize("name", PORTABLE)
def test_portable_in_real_caffe(name: str, caffe: Engine) -> None:
    made = exported(name, "portable")
    report = made.verify(engine_for(made, "portable", caffe))
    assert report.ok, str(report)


@pytest.mark.skipif(NO_OPENCV is not None, reason=str(NO_OPENCV))
@pytest.mark.parametrize("name", PORTABLE)
def test_portable_in_opencv(name: str) -> None:
    report = exported(name, "portable").verify("opencv")
    assert report.ok, str(report)


@pytest.mark.pycaffe
@pytest.mark.parametrize("name", NETS)
def test_nnie(name: str, caffe: Engine) -> None:
    made = exported(name, "nnie")
    assert set(types(made.net)) <= TARGETS["nnie"].types
    report = made.verify(engine_for(made, "nnie", caffe))
    assert report.ok, str(report)
