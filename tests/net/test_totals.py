"""Sizes of a net: parameters, multiply-adds as torch counts them, and the memory of blobs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import caffe2fx
import fx2caffe
from caffe2fx.files.prototxt import parse
from caffe2fx.net.totals import megabytes, totals

X = torch.randn(2, 4, 9, 9)
MODELS: dict[str, tuple[nn.Module, Any]] = {
    "convolution": (nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), X),
    "deconvolution": (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), X),
    "dense": (nn.Sequential(nn.Flatten(), nn.Linear(324, 5)), X),
    "several": (nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 3)), X),
    "no sums": (nn.Sequential(nn.PReLU(4), nn.ReLU()), X),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_multiply_adds_are_half_of_torchs_count(model: tuple[nn.Module, Any]) -> None:
    module, given = model
    with FlopCounterMode(display=False) as counter:
        module(given)
    found = totals(fx2caffe.export(module.eval(), given).net)
    assert 2 * found.multiply_adds == counter.get_total_flops()
    assert found.parameters == sum(one.numel() for one in module.parameters())


NET = """layer { name: "in" type: "Input" top: "d"
  input_param { shape { dim: 1 dim: 8 dim: 5 dim: 5 } } }
layer { name: "a" type: "Convolution" bottom: "d" top: "a" param { name: "w" } param { name: "b" }
  convolution_param { num_output: 8 kernel_size: 1 } }
layer { name: "r" type: "ReLU" bottom: "a" top: "a" }
layer { name: "f" type: "Flatten" bottom: "a" top: "f" }
layer { name: "b" type: "Convolution" bottom: "d" top: "b" param { name: "w" } param { name: "b" }
  convolution_param { num_output: 8 kernel_size: 1 } }
layer { name: "l" type: "ReLU" bottom: "b" top: "l" }"""


def test_shared_weights_and_memory_count_once() -> None:
    found = totals(parse(NET))
    assert found.parameters == 8 * 8 + 8 and found.multiply_adds == 2 * 8 * 8 * 25
    one = 4 * 8 * 25  # each map has 200 elements
    assert (found.separate, found.memory) == (6 * one, 4 * one)
    assert "6 layers, 72 parameters, 3,200 multiply-adds, blobs 3.2 kB (4.8 kB" in str(found)


def test_a_recurrent_layer_multiplies_in_each_step() -> None:
    text = """layer { name: "x" type: "Input" top: "x"
      input_param { shape { dim: 3 dim: 2 dim: 4 } } }
    layer { name: "c" type: "Input" top: "c" input_param { shape { dim: 3 dim: 2 } } }
    layer { name: "l" type: "LSTM" bottom: "x" bottom: "c" top: "l"
      recurrent_param { num_output: 5 } }"""
    assert totals(parse(text)).multiply_adds == 3 * 2 * 4 * 5 * (4 + 5)


def test_bytes_for_a_person() -> None:
    assert megabytes(1234) == "1.2 kB" and megabytes(12_345_678) == "12.3 MB"


def test_reprs_and_notebook_tables_are_short(tmp_path: Any) -> None:
    made = fx2caffe.export(MODELS["several"][0], X)
    made.save(tmp_path / "n.prototxt", tmp_path / "n.caffemodel")
    module = caffe2fx.load(tmp_path / "n.prototxt", tmp_path / "n.caffemodel")
    report = made.verify()
    for one in (made, made.net, module):
        assert "3 layers, data -> 2" in repr(one) and len(repr(one)) < 100
        assert "4 layers, 94 parameters" in one._repr_html_() and "<svg" in one._repr_html_()
    assert "def forward" in str(module)
    assert repr(report) == "<Report: 3 of 3 feature maps equal in engine torch>"
    shown = report._repr_html_()
    assert shown.startswith("<div><p>3 of 3 feature maps equal in engine torch</p><table>")
    assert shown.count("<tr") == 1 + 3 and "<script" not in shown
    deep = fx2caffe.export(nn.Sequential(*[nn.ReLU()] * 401), X)
    assert "<svg" not in deep._repr_html_()


def test_a_net_of_shapes_that_do_not_fit_is_shown_with_the_reason() -> None:
    net = parse(NET.replace('bottom: "b" top: "l"', 'bottom: "b" top: "l" relu_param { }'))
    broken = parse(NET.replace("kernel_size: 1", "kernel_size: 9", 1))
    assert "multiply-adds" in net._repr_html_()
    assert "layer &#x27;a&#x27;" in broken._repr_html_()
