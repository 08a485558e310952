"""The graph is held against the model's own run, and the model's memory against itself."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fx2caffe
from caffe2fx.errors import CaffeError
from fx2caffe.errors import UnsupportedError
from fx2caffe.tracing.tracer import trace
from tests.tracing.custom_operators import custom_op

X = torch.linspace(-1, 2, 8).reshape(2, 4)


@custom_op("conceals(Tensor x) -> Tensor")
def conceals(x: Tensor) -> Tensor:
    x.detach().numpy()[:] = 7
    return x + 0


class Writes(nn.Module):
    """Gives its parameter to a function that may write it, then uses it."""

    def __init__(self, write: Callable[[Any], Any]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))
        self.register_buffer("shift", torch.ones(4))
        self.array = self.weight.detach().numpy()
        self.write = write

    def forward(self, x: Tensor) -> Tensor:
        self.write(self)
        return x * self.weight + self.shift


def through_array(model: Writes) -> None:
    model.weight.detach().numpy()[:] *= 2


def through_asarray(model: Writes) -> None:
    np.asarray(model.shift)[0] = 3


def through_memoryview(model: Writes) -> None:
    memoryview(model.weight.detach().numpy())[0] = 5.0


def through_address(model: Writes) -> None:
    ctypes.memset(model.weight.data_ptr(), 0, 4)


def through_storage(model: Writes) -> None:
    model.weight.detach().untyped_storage()[0] = 9


def through_an_array_of_before(model: Writes) -> None:
    model.array[:] *= 2


def through_dlpack(model: Writes) -> None:
    np.from_dlpack(model.weight.detach())
    torch.from_dlpack(model.weight.detach()).mul_(2)


def through_an_operator(model: Any) -> None:
    torch.ops.fx2caffe_tests.conceals(model.shift)


UNSEEN = [
    through_array, through_asarray, through_memoryview, through_address, through_storage,
    through_an_array_of_before, through_dlpack, through_an_operator,
]  # fmt: skip


def name_of(function: Callable[..., Any]) -> str:
    return function.__name__


@pytest.mark.parametrize("write", UNSEEN, ids=name_of)
def test_writes_that_torch_does_not_see_are_refused(write: Callable[[Any], Any]) -> None:
    model = Writes(write)
    with pytest.raises(UnsupportedError, match=r"torch does not see|by itself"):
        fx2caffe.export(model, X)
    assert model.weight.eq(1).all() and model.shift.eq(1).all()
    assert model.array.ctypes.data == model.weight.data_ptr()


def seen(model: Any) -> None:
    model.weight.data[0] = 3
    model.shift += 1


def only_read(model: Writes) -> None:
    float(model.weight.detach().numpy().sum()), model.weight.data_ptr()


@pytest.mark.parametrize("write", [seen, only_read], ids=name_of)
def test_writes_that_torch_sees_are_exported(write: Callable[[Any], Any]) -> None:
    model = Writes(write)
    net = fx2caffe.export(model, X)
    assert model.weight.eq(1).all() and model.shift.eq(1).all()
    torch.testing.assert_close(net.trace.module(X)[0], model(X).detach())


def is_traced() -> bool:
    return bool(torch.overrides._get_current_function_mode_stack())


def other_value(x: Tensor) -> Any:
    return x * 2 if is_traced() else x * 2.01


def other_shape(x: Tensor) -> Any:
    return x if is_traced() else x[:1]


def other_dtype(x: Tensor) -> Any:
    return x if is_traced() else x.double()


def other_count(x: Tensor) -> Any:
    return (x, x + 1) if is_traced() else (x,)


def not_a_number(x: Tensor) -> Any:
    return x * 2 if is_traced() else x.sqrt() * 2


def whole_numbers(x: Tensor) -> Any:
    return (x > 0 if is_traced() else x > 1), x + 1


def fails_alone(x: Tensor) -> Any:
    return x * 2 if is_traced() else x[5]


TWO_FACED = [
    other_value, other_shape, other_dtype, other_count, not_a_number, whole_numbers, fails_alone
]  # fmt: skip


@pytest.mark.parametrize("function", TWO_FACED, ids=name_of)
def test_a_graph_that_is_not_the_model_is_refused(function: Callable[[Tensor], Any]) -> None:
    assert trace(function, X)
    with pytest.raises(CaffeError, match=r"by itself|does not run"):
        trace(function, X, held_to_model=True)


class Inner(nn.Module):
    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


class Counts(nn.Module):
    """Its second call gives something else."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


CUTS: list[tuple[nn.Module, list[str], bool]] = [
    (nn.Sequential(Inner(other_value), nn.ReLU()), ["0"], False),
    (nn.Sequential(Inner(torch.neg), Inner(other_value)), ["0"], True),
    (nn.Sequential(Inner(torch.neg), Inner(fails_alone)), ["0:0"], True),
    (nn.Sequential(Inner(torch.neg), Inner(other_value)), ["0:0", "1:0"], False),
    (nn.Sequential(Inner(lambda x: (x, x + 1)), Inner(sum)), ["0", "1"], True),
    (nn.Sequential(Inner(torch.neg), nn.ReLU()), ["neg", "1"], True),
    (nn.Sequential(counts := Counts(), counts), ["0:1", "0:0"], True),
]


@pytest.mark.parametrize(("model", "outputs", "same"), CUTS, ids=lambda v: str(v)[:20])
def test_cut_points_are_held_too(model: nn.Module, outputs: list[str], same: bool) -> None:
    if same:
        assert trace(model, X, outputs=outputs, held_to_model=True)
        return
    with pytest.raises(UnsupportedError, match="by itself"):
        trace(model, X, outputs=outputs, held_to_model=True)


def test_rounding_is_no_difference() -> None:
    """The error of float32 itself is allowed, however large it has become."""

    def amplifies(x: Tensor) -> Tensor:
        wide = torch.ones(4, 4000) if is_traced() else torch.ones(4, 2, 2000).flatten(1)
        noise = (x @ wide).sum(1) - 4000 * x.sum(1)
        return noise * 1e3 if is_traced() else noise.double().mul(1e3).float()

    assert trace(amplifies, torch.rand(2, 4), held_to_model=True)
