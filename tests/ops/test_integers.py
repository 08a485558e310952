"""Integers beyond 2^24 are refused where ranges or the example show them, else warned of."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import fx2caffe
from caffe2fx import CaffeError
from tests.rows import Function

SMALL = torch.tensor([[3, 5, 7, 2]])
LARGE = torch.tensor([[3000, 5001, 4999, 4001]])
HUGE = torch.tensor([[1 << 23, (1 << 23) + 1, 5, 1 << 22]])
WEIGHT = torch.full((2, 4), 4999)
BIG = LARGE.float()
DIVISIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "remainder": lambda x: x % 10,
    "fmod": lambda x: torch.fmod(x, 7),
    "floor_divide": lambda x: x // 10,
    "div": lambda x: torch.div(x, 10, rounding_mode="trunc"),
    "shift": lambda x: x >> 3,
    "clamp": lambda x: x.abs().clamp(max=1 << 26) % 10,
}


@dataclass(frozen=True)
class Case:
    id: str
    function: Callable[[Tensor], Tensor]
    x: Tensor


BEYOND = [
    Case("product", lambda x: x * x * x, LARGE),
    Case("power", lambda x: x**3, LARGE),
    Case("square", lambda x: torch.square(x * 2), LARGE),
    Case("prod", lambda x: x.prod(1), LARGE),
    Case("cumprod", lambda x: x.cumprod(1), LARGE),
    Case("sum", lambda x: x.sum(1), HUGE),
    Case("cumsum", lambda x: x.cumsum(1), HUGE),
    Case("twice", lambda x: x + x + 1, HUGE),
    Case("by_a_number", lambda x: x * 3, HUGE),
    Case("matmul", lambda x: x @ x.t(), LARGE),
    Case("linear", lambda x: F.linear(x, WEIGHT), LARGE),
    Case("dot", lambda x: torch.dot(x[0], x[0]), LARGE),
    Case("addcmul", lambda x: torch.addcmul(x, x, x), LARGE),
    Case("einsum", lambda x: torch.einsum("ij,ij->i", x, x), LARGE),
    Case("shift", lambda x: x << 3, HUGE),
    Case("difference_of_large", lambda x: x * 2 - x * 2, HUGE),
    Case("sums_that_cancel", lambda x: (x * torch.tensor([1, -1, 1, -1])).sum(1), HUGE),
    Case("index_add", lambda x: x.t().index_add(0, torch.tensor([0, 0]), x.t()[:2]), HUGE),
    Case("after_a_cast", lambda x: (x.float() * 1e4).long() * 3, LARGE),
    *(
        Case(
            f"divided_after_a_cast_by_{name}",
            lambda x, divide=divide: divide((x * 1e4).long()),
            BIG,
        )
        for name, divide in DIVISIONS.items()
    ),
    Case("an_input", lambda x: x, torch.tensor([[1 << 25]])),
    Case("after_moves", lambda x: x.flip(1).reshape(2, 2)[:, :1] * 5, HUGE.flip(1)),
]


@pytest.mark.parametrize("case", BEYOND, ids=lambda case: case.id)
def test_overflow_in_the_example_is_refused(case: Case) -> None:
    with pytest.raises(fx2caffe.UnsupportedError, match="needs integers up to 2\\^24"):
        fx2caffe.export(Function(case.function), case.x)


@pytest.mark.parametrize("case", BEYOND[:16], ids=lambda case: case.id)
def test_check_reports_the_same(case: Case) -> None:
    assert fx2caffe.check(Function(case.function), case.x)


RANGES: dict[str, tuple[Callable[[Tensor], Tensor], tuple[int, int], bool]] = {
    "a sum": (lambda x: x.sum(1), (0, 1 << 22), False),
    "a sum beyond": (lambda x: x.sum(1), (0, (1 << 22) + 1), True),
    "a negative end": (lambda x: x * 2, (-(1 << 24), 9), True),
    "a square": (lambda x: x * x, (0, 4096), False),
    "a square beyond": (lambda x: x * x, (0, 4097), True),
    "a clamped one": (lambda x: x.clamp(0, 4096) * 4096, (0, 1 << 24), False),
    "a remainder": (lambda x: (x % 4096) * 4096, (0, 1 << 24), False),
    "a mask": (lambda x: (x > 3).long() * (1 << 24), (0, 1 << 24), False),
    "positions": (lambda x: x.argmax(1) * (1 << 22), (0, 1 << 24), False),
    "ends apart": (lambda x: torch.where(x > 3, x, 0) + 1, (0, 1 << 24), True),
}


@pytest.mark.parametrize("name", RANGES)
def test_ranges_decide(name: str) -> None:
    function, ends, refused = RANGES[name]
    found = fx2caffe.check(Function(function), SMALL, input_ranges={"data": ends})
    assert bool(found) is refused
    assert all("by the ranges of its inputs" in refusal.reason for refusal in found)


def test_the_range_of_a_dtype_is_known() -> None:
    bytes_of_a_picture = torch.zeros(1, 300, 300, dtype=torch.uint8)
    assert fx2caffe.check(Function(lambda x: x.sum((1, 2))), bytes_of_a_picture)
    assert not fx2caffe.check(Function(lambda x: x.float().sum((1, 2))), bytes_of_a_picture)


def test_ordinary_indices_are_no_concern() -> None:
    table = torch.randn(64, 3)

    def embedded(x: Tensor) -> Tensor:
        where = (x > 2).long().cumsum(1) * (x > 2) + 1
        return F.embedding(x, table) + F.embedding(where + torch.arange(4), table)

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert fx2caffe.export(Function(embedded), SMALL).verify().ok


def test_possible_integer_overflow_is_warned_of() -> None:
    sparse = torch.tensor([[4097, 0, 0, 0]])
    with pytest.warns(UserWarning, match="give input_ranges"):
        fx2caffe.export(Function(lambda x: x[:, :2] * x[:, 2:]), sparse)


def test_ranges_are_held_against_the_example() -> None:
    with pytest.raises(CaffeError, match="needs to hold its example, got 2 to 7"):
        fx2caffe.export(Function(lambda x: x + 1), SMALL, input_ranges={"data": (0, 6)})
    with pytest.raises(CaffeError, match="input_ranges needs names of"):
        fx2caffe.export(Function(lambda x: x + 1), SMALL, input_ranges={"ids": (0, 6)})
