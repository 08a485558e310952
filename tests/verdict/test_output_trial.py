"""A free batch is tried with one sample more: it shows faults that the example's hides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fx2caffe
from caffe2fx.layers import Flatten, Reshape
from caffe2fx.net.step import Step
from caffe2fx.verdict.result.report import Status
from fx2caffe.exporter.result import Export
from tests.rows import Function

X = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))


def exported() -> Export:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 5), nn.Softmax(1)).eval()
    return fx2caffe.export(model, X)


def with_layer(made: Export, type: str, change: Callable[[Step], Step]) -> Export:
    steps = [change(s) if s.layer.type == type else s for s in made.net.steps]
    return replace(made, net=replace(made.net, steps=tuple(steps)))


FAULTS: dict[str, tuple[str, Any, str]] = {
    "none": ("Flatten", Flatten(), ""),
    "the batch in a shape": ("Flatten", Reshape(shape=(2, -1)), "with a batch of 3 the net does"),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("engine", ["torch", pytest.param("pycaffe", marks=pytest.mark.pycaffe)])
def test_free_batches(name: str, engine: str) -> None:
    kind, layer, fault = FAULTS[name]
    made = with_layer(exported(), kind, lambda step: replace(step, layer=layer))
    report = made.verify(engine)
    assert report.status is (Status.DIFFERS if fault else Status.EQUAL), str(report)
    if fault:
        assert report.first_divergence is not None and fault in report.first_divergence.fault
    fixed = replace(made, batch_faults=("the user says so",))
    assert fixed.verify(engine).ok


def test_sizes_of_the_batch_are_seen() -> None:
    """Right for the batch that the layers were made for, and for no other."""

    class Mean(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x - x.mean(0, keepdim=True)

    made = fx2caffe.export(Mean(), X)
    free = replace(made, batch_faults=())
    assert made.batch_is_fixed and made.verify().ok and not free.verify().ok


def test_a_scalar_has_no_batch_to_try() -> None:
    exported = fx2caffe.export(Function(lambda x: x * 2 + 1), torch.tensor(1.5))
    assert exported.verify().ok
