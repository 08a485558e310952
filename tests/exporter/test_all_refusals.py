"""All refusals are listed at once, also where one is about data that the model reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import fx2caffe
from tests.rows import Function


def branching(x: Tensor) -> Tensor:
    if x.sum() > 1e9:
        x = x * 2
    return torch.lgamma(x)


def before_it_ends(x: Tensor) -> Tensor:
    y = torch.lgamma(x)
    return y + torch.bernoulli(x.sigmoid())


def unused(x: Tensor) -> Tensor:
    torch.linalg.qr(x)  # its result is read by nothing: no layer would be made for it
    return torch.nonzero(x)


def feeding(x: Tensor) -> Tensor:
    return torch.nonzero(torch.lgamma(x)).float() + torch.erfinv(x).sum()


def reading(x: Tensor) -> tuple[Any, ...]:
    return torch.unique(x, return_inverse=True)[0].sum(), x[:, : int(x.argmax()) + 1]


def sorted_back(x: Tensor) -> Tensor:
    y = x.clone()
    y[x > 0] = x[x > 0].sort()[0]
    return torch.lgamma(y + 1) + torch.lgamma(x) + torch.bernoulli(x.sigmoid())


CASES: dict[str, tuple[Callable[..., Any], set[str]]] = {
    "a shape first": (
        lambda x: (torch.nonzero(x), torch.linalg.qr(x)[0], torch.lgamma(x)),
        {"nonzero", "torch.linalg.qr", "torch.lgamma"},
    ),
    "a shape last": (
        lambda x: (torch.linalg.qr(x)[0], torch.nonzero(x)),
        {"nonzero", "torch.linalg.qr"},
    ),
    "a branch": (branching, {"bool", "torch.lgamma"}),
    "chance": (before_it_ends, {"bernoulli", "torch.lgamma"}),
    "unused": (unused, {"nonzero"}),
    "feeding a shape": (feeding, {"nonzero", "torch.lgamma"}),
    "data twice": (reading, {"_unique2", "int"}),
    "a selection reduced": (
        lambda x: (x[x > 0].sum(), torch.lgamma(x), torch.bernoulli(x.sigmoid())),
        {"sum", "_operator.getitem", "torch.lgamma", "bernoulli"},
    ),
    "a selection sorted and written back": (
        sorted_back,
        {"sort", "_operator.getitem", "torch.lgamma", "bernoulli"},
    ),
    "the length of a selection": (
        lambda x: torch.lgamma(x) * x[x > 0].numel(),
        {"numel", "torch.lgamma"},
    ),
    "what follows from a shape": (
        lambda x: torch.lgamma(torch.nonzero(x).float()),
        {"nonzero"},
    ),
}


@pytest.mark.parametrize("name", CASES, ids=lambda name: name.replace(" ", "_"))
def test_refusals_beside_those_of_data(name: str) -> None:
    function, wanted = CASES[name]
    x = torch.randn(2, 3, 4)
    found = fx2caffe.check(Function(function), x)
    assert {refusal.op for refusal in found} == wanted and len(found) == len(wanted)
    with pytest.raises(fx2caffe.UnsupportedError) as error:
        fx2caffe.export(Function(function), x)
    assert error.value.refusals == found
