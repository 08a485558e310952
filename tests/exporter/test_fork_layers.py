"""Layers of forks that no other layers say are refused by name, without being taken apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import caffe2fx
import fx2caffe
from caffe2fx.layers import DetectionOutput
from caffe2fx.module.graph_module import CaffeGraphModule

INPUT = """layer { name: "in" type: "Input" top: "%s" input_param { shape { %s } } }
"""
FOUND = """
layer { name: "found" type: "DetectionOutput" bottom: "loc" bottom: "conf" bottom: "prior"
        top: "found" detection_output_param { num_classes: 3 nms_param { nms_threshold: 0.5 } } }
layer { name: "permute" type: "Permute" bottom: "data" top: "p" permute_param { order: [0, 2, 1] } }
"""
UNKNOWN = """
layer { name: "found" type: "DetectionEvaluate" bottom: "a" bottom: "b" top: "found"
        detection_evaluate_param { num_classes: 3 } }
layer { name: "permute" type: "Permute" bottom: "data" top: "p" permute_param { order: [0, 2, 1] } }
"""


def _loaded(folder: Path, text: str, **shapes: tuple[int, ...]) -> CaffeGraphModule:
    path = folder / "net.prototxt"
    inputs = (INPUT % (name, " ".join(f"dim: {n}" for n in s)) for name, s in shapes.items())
    path.write_text("".join(inputs) + text)
    return caffe2fx.load(path)


def test_boxes_are_not_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = {"loc": (1, 16), "conf": (1, 12), "prior": (1, 2, 16), "data": (1, 3, 4)}
    loaded = _loaded(tmp_path, FOUND, **shapes)
    inputs = tuple(torch.rand(shape) for shape in shapes.values())
    with pytest.raises(fx2caffe.UnsupportedError) as error:
        fx2caffe.export(loaded, inputs)

    compute, recording = DetectionOutput.compute, []

    def noted(*args: Any) -> tuple[Tensor, ...]:
        recording.append(torch._C._len_torch_function_stack())
        return compute(*args)

    monkeypatch.setattr(DetectionOutput, "compute", noted)
    found = fx2caffe.check(loaded, inputs)
    assert [refusal.op for refusal in found] == ["DetectionOutput"]
    assert "needs layer DetectionOutput, which target" in found[0].reason
    assert error.value.refusals == found
    assert recording and not any(recording)  # it runs for its shape alone


def test_layers_known_by_their_shapes(tmp_path: Path) -> None:
    shapes = {"a": (1, 1, 4, 7), "b": (1, 1, 4, 8), "data": (1, 3, 4)}
    loaded = _loaded(tmp_path, UNKNOWN, **shapes)
    inputs = tuple(torch.rand(shape) for shape in shapes.values())
    found = fx2caffe.check(loaded, inputs)
    assert [refusal.op for refusal in found] == ["DetectionEvaluate"]
    assert "known by its shapes only: load the net with outputs=" in found[0].reason
    with pytest.raises(fx2caffe.UnsupportedError) as error:
        fx2caffe.export(loaded, inputs)
    assert error.value.refusals == found
