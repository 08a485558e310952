"""torchvision's SSD and SSDlite end to end: the Caffe net finds torchvision's boxes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD

import caffe2fx
import fx2caffe
from caffe2fx.engines import engine
from caffe2fx.verdict.reference.calibrate import calibrate
from fx2caffe.single_shot import SingleShot

SIZES = {"ssd300_vgg16": 300, "ssdlite320_mobilenet_v3_large": 320}


def model_of(name: str) -> SSD:
    """Return a detector whose scores differ from box to box."""
    torch.manual_seed(0)
    made = getattr(torchvision.models.detection, name)
    model: SSD = made(weights=None, weights_backbone=None, num_classes=4).eval()
    images = torch.randn(8, 3, SIZES[name], SIZES[name])
    calibrate(model.backbone, [images])
    with torch.no_grad():
        spread(model.head.classification_head, list(model.backbone(images).values()))
    return model


def spread(head: nn.Module, maps: list[Tensor]) -> None:
    """Scale the last convolutions of `head` until its logits deviate by two.

    Among thousands of scores that differ by less than a float's noise, the limit on the number of
    boxes and the suppression of neighbours pick others on another processor.
    """
    for branch, features in zip(head.module_list, maps, strict=True):
        last = [module for module in branch.modules() if isinstance(module, nn.Conv2d)][-1]
        last.weight *= 2 / branch(features).std()


def by_torchvision(model: SSD, images: Tensor) -> list[dict[str, Tensor]]:
    """Return boxes, labels and scores after the model's own postprocessing."""
    sizes = [tuple(images.shape[-2:])] * len(images)
    with torch.no_grad():
        maps = list(model.backbone(images).values())
        anchors = model.anchor_generator(ImageList(images, sizes), maps)
        return model.postprocess_detections(model.head(maps), anchors, sizes)


def same_sets(mine: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    """Compare boxes with labels and scores, whatever their order."""
    assert len(mine["scores"]) == len(theirs["scores"]) > 0
    one, two = as_rows(mine), as_rows(theirs)
    # Not by way of products, whose rounding is larger than what sets two boxes apart.
    apart = torch.cdist(one, two, compute_mode="donot_use_mm_for_euclid_dist")
    nearest = apart.argmin(1)
    assert nearest.unique().numel() == len(two)  # each is that of another
    torch.testing.assert_close(one, two[nearest], rtol=1e-3, atol=1e-2)


def as_rows(found: dict[str, Tensor]) -> Tensor:
    """Return label, score and box of each."""
    labels, scores = found["labels"].float() * 1000, found["scores"] * 100
    return torch.cat([labels[:, None], scores[:, None], found["boxes"]], 1)


@pytest.mark.parametrize("name", SIZES)
def test_finds_the_boxes_of_torchvision(name: str, tmp_path: Path) -> None:
    model, side = model_of(name), SIZES[name]
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    detector = SingleShot(model, (side, side)).eval()
    files = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    exported = fx2caffe.export(detector, images[:1], target="ssd")
    exported.save(*files)
    wanted = by_torchvision(model, images[:1])
    with torch.no_grad():
        rows = caffe2fx.load(*files)(images[:1])
    same_sets(detector.detections(rows, 1)[0], wanted[0])
    session = engine("opencv").open(*files)
    with session:
        tops = {step.layer.type: tops for step, tops in session.run([images[:1]])}
    same_sets(detector.detections(tops["DetectionOutput"][0], 1)[0], wanted[0])
