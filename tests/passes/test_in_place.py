"""Layers write into their bottom's blob only where no other reader would see it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import fx2caffe
from tests.rows import Function

ROWS: dict[str, tuple[Callable[[Tensor], Tensor], list[str]]] = {
    "chain": (lambda x: ((x + 1).relu() + 2).relu(), ["add", "add", "add", "add"]),
    "input": (lambda x: x.relu(), ["relu"]),
    "two readers": (lambda x: (y := x + 1).relu() + y, ["add", "relu", "add_1"]),
    "last of two readers": (
        lambda x: torch.cat([y := x + 1, y.relu()], 1).relu(),
        ["add", "relu", "cat", "cat"],
    ),
    "behind a flatten": (lambda x: (x + 1).flatten(1).relu(), ["add", "flatten", "flatten"]),
    "behind a flatten of a shared blob": (
        lambda x: (y := x + 1).flatten(1).relu() + y.flatten(1),
        ["add", "flatten", "relu", "flatten_1", "add_1"],
    ),
    "behind a flatten of the input": (lambda x: x.flatten(1).relu(), ["flatten", "relu"]),
    "behind two reshapes of a shared blob": (
        lambda x: (y := x + 1).flatten(1).reshape(-1, 3, 16).relu() + y.flatten(2),
        ["add", "flatten", "reshape", "relu", "flatten_1", "add_1"],
    ),
    "an output": (lambda x: (y := x + 1, y.relu()), ["add", "relu", "add/output"]),
    "a constant": (
        lambda x: torch.cat([x, torch.arange(48.0).reshape(1, 3, 4, 4).relu()], 0),
        ["cat/part1", "cat"],
    ),
}


@pytest.mark.pycaffe
@pytest.mark.parametrize("name", ROWS)
def test_blobs(name: str) -> None:
    body, blobs = ROWS[name]
    exported = fx2caffe.export(Function(body), torch.randn(1, 3, 4, 4))
    assert [step.tops[0].blob for step in exported.net.steps[1:]] == blobs
    report = exported.verify("pycaffe")
    assert report.ok, str(report)


@pytest.mark.pycaffe
def test_repeated_forwards_agree() -> None:
    """A constant that was written in place would differ from the second forward on."""
    body = ROWS["behind a flatten of a shared blob"][0]
    exported = fx2caffe.export(Function(body), torch.randn(1, 3, 4, 4))
    for seed in range(3):
        x = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
        assert exported.verify("pycaffe", x).ok
