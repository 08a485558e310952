"""Nets of one fork layer each, with the results of the fork's own code.

tests/data/forkcases/nets.txt has the texts, each under its name; arrays.npz has their inputs,
weights (`w:<layer>:<index>`) and results under "<name>/<blob>".
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from caffe2fx.files.dialects import Hints
from caffe2fx.files.prototxt import parse, text_of
from caffe2fx.module.builder import graph_module
from caffe2fx.net.net import Net

FOLDER = Path(__file__).parents[2] / "data" / "forkcases"
RELATIVE = 2e-6  # of the largest value: the distance that the forks' sources and our models kept

DIALECTS = {"@darknet": "yolo", "@tpu": "tpu_mlir"}


PARTS = re.split(r"^# (\S+)\n# confirmed by (.*)\n", (FOLDER / "nets.txt").read_text(), flags=re.M)
CONFIRMED = dict(zip(PARTS[1::3], PARTS[2::3], strict=True))
TEXTS = dict(zip(PARTS[1::3], PARTS[3::3], strict=True))


@cache
def arrays() -> dict[str, Tensor]:
    with np.load(FOLDER / "arrays.npz") as found:
        return {name: torch.from_numpy(found[name]) for name in found.files}


def case(name: str) -> tuple[Net, dict[str, Tensor], Tensor]:
    """Return the net with its weights, its inputs by blob name, and its result."""
    own = {key.split("/")[1]: array for key, array in arrays().items() if key.split("/")[0] == name}
    blobs = tuple(own[key] for key in sorted(own) if key.startswith("w:"))
    dialect = next((stated for end, stated in DIALECTS.items() if name.endswith(end)), None)
    net = parse(TEXTS[name], hints=Hints(dialect, {"l": len(blobs)}))
    *first, last = net.steps
    inputs = {value.blob: own[value.blob] for value in net.inputs}
    return replace(net, steps=(*first, replace(last, blobs=blobs))), inputs, own["out"]


def test_there_are_cases() -> None:
    assert len(TEXTS) == 123 and {key.split("/")[0] for key in arrays()} == set(TEXTS)


def near(found: Tensor, wanted: Tensor) -> bool:
    """Return whether they are of one shape and differ by no more than rounding."""
    if found.shape != wanted.shape:
        return False
    return float((found - wanted).abs().max()) <= RELATIVE * float(wanted.abs().max())


@pytest.mark.parametrize("name", TEXTS)
def test_equals_the_fork(name: str) -> None:
    net, inputs, wanted = case(name)
    with torch.no_grad():
        got = graph_module(net)(*inputs.values())
    assert near(got, wanted)


@pytest.mark.parametrize("name", TEXTS)
def test_written_text_is_read_as_the_same_net(name: str) -> None:
    net, _, _ = case(name)
    layer = net.steps[-1].layer
    assert parse(text_of(net), hints=Hints(layer.dialects[0])).steps[-1].layer == layer
