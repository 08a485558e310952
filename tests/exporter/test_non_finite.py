"""An example that is not finite is exported where the layers keep that, and refused elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import fx2caffe
from caffe2fx.net.evaluate import StepwiseEvaluation
from fx2caffe.exporter import non_finite
from tests.rows import Function

INF, NAN = float("inf"), float("nan")
X = torch.tensor([[1.0, 2.5, NAN, -INF, INF, -0.5]])
MASK = torch.tensor([[0.0, -INF, 0.0], [0.0, 0.0, -INF], [-INF, 0.0, 0.0]])

LOST: dict[str, Callable[[Tensor], Tensor]] = {
    "ge": lambda x: x >= x.flip(1),
    "ne": lambda x: x != x.flip(1),
    "floor": torch.floor,
    "clamp": lambda x: x.clamp(-1, 1),
    "fmax": lambda x: torch.fmax(x, x.flip(1)),
    "where": lambda x: torch.where(x != x, torch.zeros_like(x), x),
    "max_pool": lambda x: F.max_pool1d(x, 2),
    "bool": lambda x: x.bool(),
    "after others": lambda x: (x.exp() + 1).ceil(),
}
KEPT: dict[str, tuple[Callable[[Tensor], Tensor], Tensor]] = {
    "exp": (torch.exp, X),
    "isnan": (torch.isnan, X),
    "isinf": (torch.isinf, X),
    "sum": (lambda x: x + x.flip(1) * 2, X),
    "infinite mask": (lambda m: F.softmax(torch.ones(3, 3) + m, 1), MASK),
    "finite": (lambda x: x.clamp(0, 1), torch.randn(2, 3)),
}


@pytest.mark.parametrize("name", LOST)
def test_non_finite_constants_that_caffe_loses_are_refused(name: str) -> None:
    with pytest.raises(fx2caffe.UnsupportedError, match="needs finite inputs") as caught:
        fx2caffe.export(Function(LOST[name]), X)
    assert caught.value.refusals[0].origin.line > 0


@pytest.mark.parametrize("name", KEPT)
def test_non_finite_constants_that_caffe_keeps_are_exported(name: str) -> None:
    function, x = KEPT[name]
    assert fx2caffe.export(Function(function), x).outputs


def test_a_net_is_computed_for_examples_that_are_not_finite_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evaluated: list[int] = []

    def counted(*arguments: Any) -> Any:
        evaluated.append(len(arguments))
        return StepwiseEvaluation(*arguments)

    monkeypatch.setattr(non_finite, "StepwiseEvaluation", counted)
    for x, times in ((torch.randn(2, 3), 0), (X, 1)):
        fx2caffe.export(Function(torch.exp), x)
        assert len(evaluated) == times
