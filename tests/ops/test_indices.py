"""Writes by index, each held against torch's own values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fx2caffe
from caffe2fx.engines import Engine
from tests.rows import Function

X = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
POSITIONS = torch.tensor([4, 0, -2])
ALIKE = torch.tensor([1, 3, 1])
CUBE = torch.arange(60.0).reshape(3, 4, 5)


def put(x: Tensor, index: Any, value: Any) -> Tensor:
    y = x.clone()
    y[index] = value
    return y


def _inverse(x: Tensor) -> Tensor:
    order = x.argsort(1)
    rank = torch.zeros_like(order)
    rank[0, order[0]] = torch.arange(5)
    return rank


ROWS: dict[str, tuple[Callable[..., Any], tuple[Tensor, ...]]] = {
    "computed in a row": (lambda x, i: put(x, (1, i), torch.arange(3.0)), (X, POSITIONS)),
    "computed columns": (lambda x, i: put(x, (slice(None), i), 7.0), (X, POSITIONS)),
    "computed columns of values": (
        lambda x, i, v: put(x, (slice(None), i), v), (X, POSITIONS, torch.randn(3, 3))),
    "computed rows": (lambda x, i: put(x, i, 0.0), (X, torch.tensor([2, 0]))),
    "the last of equals": (
        lambda x, i: put(x, (0, i), torch.tensor([1.0, 2.0, 3.0])), (X, ALIKE)),
    "beside a slice": (lambda x, i: put(x, (slice(0, 2), i), x[:2, :3]), (X, POSITIONS)),
    "of three axes": (
        lambda x, i: put(torch.stack((x, x), 2), (slice(None), i), x[:, :3, None]),
        (X, POSITIONS)),
    "the inverse of an order": (_inverse, (X,)),
    "index_copy": (lambda x, i: x.index_copy(1, i, x[:, :2]), (X, torch.tensor([3, 1]))),
    "known points": (
        lambda x, v: put(x, (torch.tensor([0, 2]), torch.tensor([1, 3])), v),
        (X, torch.randn(2))),
    "known points of themselves": (lambda x: put(x, ([0, 1], [1, 2]), x[[0, 1], [1, 2]] + 1), (X,)),
    "a diagonal": (lambda x: put(x, torch.eye(3, 5).bool(), x[0, :3] * 2), (X,)),
    "accumulated": (
        lambda x, v: x.index_put((torch.tensor([0, 2, 0]),), v, accumulate=True),
        (X, torch.randn(3, 5))),
    "accumulated points": (
        lambda x, v: x.index_put((torch.tensor([0, 2, 0]), ALIKE), v, accumulate=True),
        (X, torch.randn(3))),
    "accumulated one number": (
        lambda x: x.index_put((torch.tensor([0, 0, 0]), ALIKE), torch.tensor(1.0), True), (X,)),
    "computed points": (lambda x, i, j, v: put(x, (i, j), v),
        (X, POSITIONS % 3, ALIKE, torch.randn(3))),
    "computed points from the end": (lambda x, i: put(x, ([0, 1, -1], i), x[:, 0]), (X, POSITIONS)),
    "a computed point of each row": (
        lambda x: put(x, (torch.arange(3), x.argmax(1)), x.amin(1)), (X,)),
    "computed, with slices": (
        lambda x, i, j, v: put(CUBE * x[0, 0], (slice(1, 3), i, j), v),
        (X, ALIKE, POSITIONS, torch.randn(3))),
    "computed, with a slice between": (
        lambda x, i, j, v: put(CUBE * x[0, 0], (i, slice(None), j), v),
        (X, ALIKE % 3, POSITIONS, torch.randn(3, 4))),
    "a computed matrix": (lambda x, i, v: put(x, (slice(None), i), v),
        (X, torch.tensor([[4, 0], [2, 2]]), torch.randn(3, 2, 2))),
    "accumulated at computed points": (
        lambda x, i, v: x.index_put((torch.tensor([0, 2, 0]), i), v, accumulate=True),
        (X, ALIKE, torch.randn(3))),
    "accumulated in computed rows": (
        lambda x, i, v: x.index_put((i - 3,), v, accumulate=True),
        (X, torch.tensor([2, 0, 2]), torch.randn(3, 5))),
    "the last of equals in a scatter": (
        lambda x, i, v: x.scatter(1, i, v),
        (X, torch.tensor([[0, 2, 0, 2], [1, 1, 1, 3], [4, 0, 0, 4]]), torch.randn(3, 4))),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_in_the_embedded_engine(name: str) -> None:
    function, inputs = ROWS[name]
    assert fx2caffe.export(Function(function), inputs).verify().first_divergence is None


@pytest.mark.pycaffe
@pytest.mark.parametrize("name", ROWS)
def test_in_real_caffe(name: str, caffe: Engine) -> None:
    function, inputs = ROWS[name]
    assert fx2caffe.export(Function(function), inputs).verify(caffe).first_divergence is None


def test_fold_as_torch_export_decomposes_it() -> None:
    model, x = nn.Fold((4, 4), 2), torch.randn(2, 12, 9)
    program = torch.export.export(model, (x,)).run_decompositions()
    assert fx2caffe.export(program.module(), x).verify().ok
    assert F.fold(x, (4, 4), 2).shape == (2, 3, 4, 4)
