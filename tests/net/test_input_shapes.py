"""Inputs of which the text states no shape, or one that no blob has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import caffe2fx
from caffe2fx.engines.pycaffe import Worker
from caffe2fx.errors import EngineError, ShapeMismatchError

CONV = """layer { name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 2 kernel_size: 3 } }
"""
SHAPE = (1, 3, 6, 6)
GIVEN: dict[str, Any] = {"shapes": {"data": SHAPE}}


def source(more: str = "", tops: str = 'top: "data"', type_: str = "Input") -> str:
    return f'layer {{ name: "data" type: "{type_}" {tops} {more} }}\n'


def shaped(*sizes: int) -> str:
    dims = " ".join(f"dim: {size}" for size in sizes)
    return source(f"input_param {{ shape {{ {dims} }} }}")


TWO = 'top: "data" top: "b"'
COMPLETED = {
    "no parameters": (source(), GIVEN),
    "empty parameters": (source("input_param { }"), GIVEN),
    "two tops": (source(tops=TWO), {"shapes": {"data": SHAPE, "b": (1,)}}),
    "input: without a shape": ('input: "data"\n', GIVEN),
    "a batch of -1": (shaped(-1, 3, 6, 6), GIVEN),
    "a batch of -1 and batch=": (shaped(-1, 3, 6, 6), {"batch": 1}),
    "channels of 0": (shaped(1, 0, 6, 6), GIVEN),
    "memory data": (
        source(tops=TWO, type_="MemoryData"),
        {"shapes": {"data": SHAPE, "b": (1,)}},
    ),
    "HDF5 data": (source(type_="HDF5Data"), GIVEN),
}


@pytest.mark.parametrize(("text", "options"), COMPLETED.values(), ids=COMPLETED)
def test_completed_by_the_caller(tmp_path: Path, text: str, options: Any) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(text + CONV)
    net = caffe2fx.load(path, **options).caffe.net
    assert net.shapes()[net.inputs[0]] == SHAPE


UNKNOWN = "needs the shape of its top 0, which the text does not state: name it in shapes="
EMPTY = "needs blobs with sizes of 1 or more, got "
REFUSED: dict[str, tuple[str, Any, str]] = {
    "no shape": (source(), {}, UNKNOWN),
    "no shape and batch=": (source(), {"batch": 2}, UNKNOWN),
    "input: without a shape": ('input: "data"\n', {}, UNKNOWN),
    "three shapes for two tops": (
        source("input_param { shape { dim: 1 } shape { dim: 1 } shape { dim: 2 } }", TWO),
        {},
        "needs one shape or 2, got 3",
    ),
    "channels of -1": (shaped(1, -1, 6, 6), {}, EMPTY + r"\(1, -1, 6, 6\)"),
    "a batch of -1": (shaped(-1, 3, 6, 6), {}, EMPTY + r"\(-1, 3, 6, 6\)"),
    "sides of -1": (shaped(1, 3, -1, -1), {}, EMPTY + r"\(1, 3, -1, -1\)"),
    "a batch of 0": (shaped(0, 3, 6, 6), {}, EMPTY + r"\(0, 3, 6, 6\)"),
    "channels of 0": (shaped(1, 0, 6, 6), {}, EMPTY + r"\(1, 0, 6, 6\)"),
    "33 axes": (shaped(*(1,) * 33), {}, "needs blobs of at most 32 axes, got 33"),
    "shapes= with -1": (shaped(*SHAPE), {"shapes": {"data": (1, -1, 6, 6)}}, EMPTY),
    "batch=-1": (shaped(*SHAPE), {"batch": -1}, EMPTY + r"\(-1, 3, 6, 6\)"),
    "batch=0": (shaped(*SHAPE), {"batch": 0}, EMPTY + r"\(0, 3, 6, 6\)"),
}


@pytest.mark.parametrize(("text", "options", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused(tmp_path: Path, text: str, options: Any, reason: str) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(text + CONV)
    with pytest.raises(ShapeMismatchError, match=rf"\(Input\) {reason}.*net\.prototxt:1"):
        caffe2fx.load(path, **options)


@pytest.mark.pycaffe
@pytest.mark.parametrize("case", [case for case, row in REFUSED.items() if not row[1]])
def test_real_caffe_stops_too(tmp_path: Path, case: str) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(REFUSED[case][0] + CONV)
    with Worker() as worker, pytest.raises(EngineError, match="pycaffe died"):
        worker.ask("load", prototxt=str(path), weights="", phase="TEST")
        worker.ask("run", blobs=[], start=0, end=1, wanted=[])
