"""Calls on constants alone are computed when exporting; others read a constant's layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import caffe2fx
import fx2caffe
from tests.rows import Function

PRIORS = """
layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: 1 dim: 3 dim: 32 dim: 32 } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
        convolution_param { num_output: 4 kernel_size: 3 stride: 2
                            weight_filler { type: "xavier" } } }
layer { name: "p1" type: "PriorBox" bottom: "c" bottom: "data" top: "p1"
        prior_box_param { min_size: 10 aspect_ratio: 2 variance: 0.1 } }
layer { name: "p2" type: "PriorBox" bottom: "c" bottom: "data" top: "p2"
        prior_box_param { min_size: 20 variance: 0.1 } }
"""
READERS = {
    "concat": 'type: "Concat" bottom: "p1" bottom: "p2" top: "x" concat_param { axis: 2 }',
    "reshape": 'type: "Reshape" bottom: "p1" top: "x" reshape_param { shape { dim: 0 dim: -1 } }',
    "power": 'type: "Power" bottom: "p1" top: "x" power_param { scale: 2 }',
    "eltwise": 'type: "Eltwise" bottom: "p1" bottom: "p1" top: "x"',
    "slice": 'type: "Slice" bottom: "p1" top: "x" top: "y" slice_param { axis: 1 }',
    "permute": 'type: "Permute" bottom: "p1" top: "x" permute_param { order: 0 order: 2 order: 1 }',
    "mixed": 'type: "Scale" bottom: "c" bottom: "s" top: "x" scale_param { axis: 1 }',
}


@pytest.mark.parametrize("name", READERS)
def test_a_layer_of_priors_alone(name: str, tmp_path: Path) -> None:
    """PriorBox is a constant for a target without it, and so are its readers' results."""
    cut = """layer { name: "s" type: "Slice" bottom: "p2" top: "s4" top: "s5"
                     slice_param { axis: 1 slice_point: 1 } }
             layer { name: "f" type: "Slice" bottom: "s4" top: "s6" top: "s7"
                     slice_param { axis: 2 slice_point: 4 } }
             layer { name: "g" type: "Reshape" bottom: "s6" top: "s"
                     reshape_param { shape { dim: 4 } } }"""
    path = tmp_path / "net.prototxt"
    helper = cut if name == "mixed" else ""
    path.write_text(f'{PRIORS}{helper} layer {{ name: "x" {READERS[name]} }}')
    exported = fx2caffe.export(caffe2fx.load(path), torch.randn(1, 3, 32, 32), target="bvlc")
    assert exported.verify().first_divergence is None  # constants prove nothing


def zeroed(x: Tensor) -> Tensor:
    """Return a traced tensor that holds a constant."""
    return (x * 2).zero_() + torch.arange(x.shape[-1])


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "expand": lambda x: zeroed(x)[:, :1].expand(-1, 4) + x,
    "softmax": lambda x: F.softmax(zeroed(x), 1) + x,
    "flip": lambda x: zeroed(x).flip(1) + x,
    "split": lambda x: zeroed(x).split(2, 1)[1] + x[:, :2],
    "maximum_of_some": lambda x: torch.maximum(zeroed(x), x),
    "linear_of_some": lambda x: F.linear(zeroed(x), x),
    "index": lambda x: zeroed(x)[:, [1, 3]] + x[:, :2],
    "copied": lambda x: x.clone().copy_(zeroed(x)).cumsum(1) + x,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_of_a_constant(name: str) -> None:
    assert fx2caffe.export(Function(FUNCTIONS[name]), torch.randn(3, 4)).verify().ok
