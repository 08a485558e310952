"""Backbone and heads of torchvision's one-stage detectors, for every target."""

from __future__ import annotations

import pytest

import fx2caffe
from caffe2fx.verdict.reference.calibrate import calibrate
from fx2caffe.targets import TARGETS
from fx2caffe.zoo.models import make
from tests.rows import types

NAMES = ("ssdlite320_mobilenet_v3_large", "retinanet_resnet50_fpn", "fcos_resnet50_fpn")


@pytest.mark.pycaffe
@pytest.mark.sweep
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_heads_for_every_target(name: str, target: str) -> None:
    made = make(f"torchvision:{name}", small=True)
    model = calibrate(made.model, [value[:4] for value in made.repeated()])
    exported = fx2caffe.export(model, tuple(made.inputs), target=target)
    own = set(types(exported.net)) <= TARGETS["bvlc"].types  # else real Caffe does not run it
    report = exported.verify("pycaffe" if own else "torch")
    assert report.ok, str(report)
