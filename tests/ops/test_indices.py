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


def test_two_computed_lines_are_refused() -> None:
    with pytest.raises(fx2caffe.UnsupportedError, match="needs one line of computed positions"):
        fx2caffe.export(Function(lambda x, i, j: put(x, (i, j), 1.0)), (X, POSITIONS % 3, ALIKE))
