"""Hold a loaded net against OpenCV's DNN module, on the same two files and one thread each."""

from __future__ import annotations

from pathlib import Path

import cv2
import torch

import caffe2fx
from benchmarks.rows import Row, saved
from benchmarks.turns import Ratio, in_turns


def optimized_forward(name: str, folder: Path) -> Ratio:
    """Time load(..., optimize=True) and readNetFromCaffe on the files of a net for OpenCV."""
    cv2.setNumThreads(torch.get_num_threads())
    made = saved(name, folder, target="opencv")
    ours = caffe2fx.load(*made.files, optimize=True)
    theirs = cv2.dnn.readNetFromCaffe(*map(str, made.files))

    def by_opencv() -> None:
        theirs.setInput(made.x.numpy())
        theirs.forward()

    with torch.no_grad():
        return in_turns(lambda: ours(made.x), by_opencv)


NETS = ("alexnet", "googlenet", "mobilenet_v2", "resnet50", "vgg16")
ROWS = tuple(Row("optimized forward", net, "OpenCV DNN", optimized_forward) for net in NETS)
