"""Nets of one fork layer each, with what the fork's own code gave for them.

tests/data/forkcases/nets.txt has the texts, each under its name; arrays.npz has their inputs,
weights (`w:<layer>:<index>`) and results under "<name>/<blob>".
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from caffe2fx.build import graph_module
from caffe2fx.dialects import Hints
from caffe2fx.net import Net
from caffe2fx.prototxt import parse, text_of

FOLDER = Path(__file__).parents[1] / "data" / "forkcases"
RELATIVE = 2e-6  # of the largest number: what the forks' sources and our models kept to

DIALECTS = {"@darknet": "yolo", "@tpu": "tpu_mlir"}


def _texts() -> dict[str, str]:
    text = (FOLDER / "nets.txt").read_text()
    parts = re.split(r"^# (\S+)\n# confirmed by .*\n", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


TEXTS = _texts()


@pytest.fixture(scope="module")
def arrays() -> dict[str, Tensor]:
    with np.load(FOLDER / "arrays.npz") as found:
        return {name: torch.from_numpy(found[name]) for name in found.files}


def case(name: str, arrays: dict[str, Tensor]) -> tuple[Net, dict[str, Tensor], Tensor]:
    """The net with its weights, its inputs by blob name, and its result."""
    own = {key.split("/")[1]: array for key, array in arrays.items() if key.split("/")[0] == name}
    blobs = tuple(own[key] for key in sorted(own) if key.startswith("w:"))
    dialect = next((said for end, said in DIALECTS.items() if name.endswith(end)), None)
    net = parse(TEXTS[name], hints=Hints(dialect, {"l": len(blobs)}))
    *first, last = net.steps
    inputs = {value.blob: own[value.blob] for value in net.inputs}
    return replace(net, steps=(*first, replace(last, blobs=blobs))), inputs, own["out"]


def test_there_are_cases(arrays: dict[str, Tensor]) -> None:
    assert len(TEXTS) == 123 and {key.split("/")[0] for key in arrays} == set(TEXTS)


@pytest.mark.parametrize("name", TEXTS)
def test_equals_the_fork(name: str, arrays: dict[str, Tensor]) -> None:
    net, inputs, wanted = case(name, arrays)
    with torch.no_grad():
        got = graph_module(net)(*inputs.values())
    assert got.shape == wanted.shape
    apart = float((got - wanted).abs().max())
    assert apart <= RELATIVE * float(wanted.abs().max())


@pytest.mark.parametrize("name", TEXTS)
def test_written_text_is_read_as_the_same_net(name: str, arrays: dict[str, Tensor]) -> None:
    net, _, _ = case(name, arrays)
    layer = net.steps[-1].layer
    assert parse(text_of(net), hints=Hints(layer.dialects[0])).steps[-1].layer == layer
