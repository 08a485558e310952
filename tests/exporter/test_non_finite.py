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
from caffe2fx.verdict.result.report import Status
from fx2caffe.exporter import non_finite
from tests.engine import KeptCaffe
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
    "where": lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
    "max_pool": lambda x: F.max_pool1d(x, 2),
    "bool": lambda x: x.bool(),
    "after others": lambda x: (x.exp() + 1).ceil(),
    "root": lambda x: x.sqrt(),
}
# Results that the embedded engine has as well, and a Caffe whose BLAS or sort loses NaN has not
ACCIDENTS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "max": (lambda x: x.max(1)[0], "needs elements that are not NaN"),
    "argmax": (lambda x: x.argmax(1), "needs elements that are not NaN"),
    "topk": (lambda x: x.topk(2)[0] * 2, "needs elements that are not NaN"),
    "matmul": (lambda x: x[:, None].mT @ x[:, None], "needs finite elements"),
    "layer_norm": (lambda x: F.layer_norm(x[:, :3], (3,)), "needs finite elements"),
    "response": (lambda x: F.local_response_norm(x[:, :, None], 3), "needs finite elements"),
}
KEPT: dict[str, tuple[Callable[[Tensor], Tensor], Tensor]] = {
    "exp": (torch.exp, X),
    "isnan": (torch.isnan, X),
    "isinf": (torch.isinf, X),
    "where": (lambda x: torch.where(x != x, torch.zeros_like(x), x), X),
    "masked_fill": (lambda x: x.masked_fill(~x.isfinite(), -2.0), X),
    "mean": (lambda x: torch.where(x.isinf(), x[:, :1], x).mean(1), X[:, [0, 3, 4]]),
    "log_softmax": (lambda x: x[:, :3].log_softmax(1), torch.cat([X, X[:, [0, 1, 5, 0, 1, 5]]])),
    "sum": (lambda x: x + x.flip(1) * 2, X),
    "infinite mask": (lambda m: F.softmax(torch.ones(3, 3) + m, 1), MASK),
    "finite": (lambda x: x.clamp(0, 1), torch.randn(2, 3)),
}


@pytest.mark.parametrize("name", LOST)
def test_non_finite_constants_that_caffe_loses_are_refused(name: str) -> None:
    with pytest.raises(fx2caffe.UnsupportedError, match="needs finite inputs") as caught:
        fx2caffe.export(Function(LOST[name]), X)
    assert caught.value.refusals[0].origin.line > 0


@pytest.mark.parametrize("name", ACCIDENTS)
def test_layers_that_lose_nan_in_some_caffes_are_refused_for_that(name: str) -> None:
    function, reason = ACCIDENTS[name]
    with pytest.raises(fx2caffe.UnsupportedError, match=reason):
        fx2caffe.export(Function(function), X)


@pytest.mark.parametrize("name", KEPT)
def test_non_finite_constants_that_caffe_keeps_are_exported(name: str) -> None:
    function, x = KEPT[name]
    exported = fx2caffe.export(Function(function), x)
    assert exported.outputs and exported.verify().first_divergence is None


@pytest.mark.pycaffe
def test_real_caffe_agrees_on_nan_and_infinities(caffe: KeptCaffe) -> None:
    for function, x in KEPT.values():
        report = fx2caffe.export(Function(function), x).verify(caffe)
        assert report.first_divergence is None, report.summary()


def test_a_verdict_on_inputs_that_caffe_loses_states_why() -> None:
    exported = fx2caffe.export(Function(ACCIDENTS["max"][0]), X.nan_to_num(0.0, 9.0, -9.0))
    report = exported.verify(inputs=[X])
    assert "needs elements that are not NaN" in report.summary()
    assert report.status is Status.DIFFERS and exported.verify(inputs=[X[:, [0, 1, 3, 3, 5, 5]]]).ok


def test_maps_with_equal_nan_are_equal() -> None:
    exported = fx2caffe.export(Function(lambda x: x.exp() * 2), X)
    assert exported.verify().ok
    assert exported.verify(inputs=[X * NAN]).status is Status.NOT_PROVEN


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
