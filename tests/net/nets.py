"""A small net with everything that is hard about wiring: in-place chains, two outputs, weights."""

from __future__ import annotations

from pathlib import Path

import torch

from caffe2fx.files.prototxt import parse
from caffe2fx.module.builder import graph_module
from caffe2fx.module.graph_module import CaffeGraphModule
from caffe2fx.net.match_weights import with_weights
from caffe2fx.weights import caffemodel
from caffe2fx.weights.caffemodel import LayerWeights

TEXT = """name: "small"
layer { name: "data" type: "Input" top: "data" input_param {
  shape { dim: 2 dim: 3 dim: 6 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "cut" type: "Slice" bottom: "conv" top: "left" top: "right" }
layer { name: "fc" type: "InnerProduct" bottom: "right" top: "fc"
  inner_product_param { num_output: 2 } }
"""
CHANNELS, CLASSES, WIDTH = 4, 2, 24


def weights() -> list[LayerWeights]:
    """Return blobs for every layer that takes some."""
    torch.manual_seed(3)
    statistics = torch.randn(CHANNELS), torch.rand(CHANNELS) + 0.5, torch.tensor([2.0])
    return [
        LayerWeights("conv", "Convolution", (torch.randn(4, 3, 3, 3) / 5, torch.randn(4))),
        LayerWeights("bn", "BatchNorm", statistics),
        LayerWeights("fc", "InnerProduct", (torch.randn(CLASSES, WIDTH) / 5, torch.randn(CLASSES))),
    ]


def small() -> CaffeGraphModule:
    """Return the net as a module."""
    return graph_module(with_weights(parse(TEXT, source="small.prototxt"), weights()))


def files(folder: Path) -> tuple[Path, Path]:
    """Return the net as Caffe's two files."""
    text, model = folder / "small.prototxt", folder / "small.caffemodel"
    text.write_text(TEXT)
    caffemodel.write(model, "small", weights())
    return text, model


def images(batch: int = 2) -> torch.Tensor:
    """Return inputs for the net."""
    return torch.randn(batch, 3, 6, 5, generator=torch.Generator().manual_seed(batch))
