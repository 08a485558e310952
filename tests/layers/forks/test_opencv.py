"""OpenCV as a second judge of fork layers, where it has them and reads them as the fork does."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from caffe2fx.engines.opencv import OpenCVEngine
from caffe2fx.layers import DetectionOutput
from caffe2fx.module.save import weights_of
from caffe2fx.net.net import Net
from caffe2fx.weights import caffemodel
from tests.layers.forks.forks import ROWS
from tests.layers.row import Row

pytestmark = pytest.mark.skipif(
    OpenCVEngine().why_missing() is not None, reason=str(OpenCVEngine().why_missing())
)

# OpenCV refuses the other rows, or is known to compute something else: relu6 with a slope,
# Interp's factors, Reorg's reverse, Correlation of patches, proposals of a least size.
JUDGED = (
    "permute", "shuffle", "reorg", "relu6", "hard swish", "hard sigmoid", "hard sigmoid default",
    "mish", "interp", "batch norm scale bias", "batch norm without", "dropout unscaled",
    "dropout scaled", "matmul batched", "correlation", "convolution depthwise",
    "convolution depthwise plain", "convolution depthwise rectangular", "pooling ceil_mode",
    "pooling ceil_mode true", "roi pooling", "psroi pooling", "proposal of any size",
    "prior box", "prior box offsets", "prior box sizes", "detection said",
)  # fmt: skip
ROWS_BY_ID = {row.id: row for row in ROWS}


NOT_IN = {"4.10": ("matmul batched", "detection said")}  # of the latest for numpy 1


def in_opencv(row: Row, folder: Path) -> list[Tensor]:
    """Return OpenCV's results for the row."""
    import cv2

    text, weights = folder / "net.prototxt", folder / "net.caffemodel"
    text.write_text(row.text("layer"))
    steps = row.steps("layer")
    caffemodel.write(weights, "", weights_of(Net(tuple(steps), ())))
    net = cv2.dnn.readNetFromCaffe(str(text), str(weights))
    net.enableFusion(False)
    for value, given in zip(steps[0].tops, row.inputs(), strict=True):
        net.setInput(given.numpy(), value.blob)
    (tops,) = net.forwardAndRetrieve(["layer"])
    return [torch.from_numpy(np.array(top)) for top in tops]


def as_a_set(rows: Tensor) -> Tensor:
    """Return the boxes found in an order of our own; OpenCV sorts by score and appends zeros."""
    found = [row for row in rows.reshape(-1, 7).tolist() if row[1] > 0]
    return torch.tensor(sorted(found))


@pytest.mark.parametrize("name", JUDGED)
def test_opencv_computes_the_same(name: str, tmp_path: Path) -> None:
    row, version = ROWS_BY_ID[name], importlib.metadata.version("opencv-python-headless")
    if name in NOT_IN.get(".".join(version.split(".")[:2]), ()):
        pytest.skip(f"OpenCV {version} refuses it")
    theirs, mine = in_opencv(row, tmp_path), row.meaning(row.inputs())
    for top, wanted in zip(mine, theirs[: row.tops], strict=True):
        if isinstance(row.layer, DetectionOutput):
            top, wanted = as_a_set(top), as_a_set(wanted)
        torch.testing.assert_close(top, wanted, rtol=1e-5, atol=1e-5)
