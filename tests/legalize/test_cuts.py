"""Cuts that divide an axis among them become one Slice, and no others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import fx2caffe
from tests.rows import Function, types

# Functions of (2, 6, 4, 4), and how many layers Slice and Silence each has.
CUTS: dict[str, tuple[Callable[[Tensor], object], int, int]] = {
    "in_two": (lambda x: (x[:, :2].relu(), x[:, 2:].exp()), 1, 0),
    "in_another_order": (lambda x: (x[:, 4:].relu(), x[:, :1].exp(), x[:, 1:4].tanh()), 1, 0),
    "two_axes": (lambda x: (x[:, :2] + x[:, 4:] * x[:, 2:4], x[:, :, 0], x[:, :, 1:]), 2, 0),
    "overlapping": (lambda x: (x[:, :3].relu(), x[:, 2:].exp()), 2, 1),
    "with_a_gap": (lambda x: (x[:, :2].relu(), x[:, 3:].exp()), 2, 1),
    "one_of_them_twice": (lambda x: (x[:, :2].relu(), x[:, :2].exp(), x[:, 2:].tanh()), 2, 1),
    "of_other_values": (lambda x: (x[:, :2].relu(), x.exp()[:, 2:]), 2, 1),
}


@pytest.mark.parametrize("name", CUTS)
def test_layers(name: str) -> None:
    function, slices, silences = CUTS[name]
    exported = fx2caffe.export(Function(function), torch.randn(2, 6, 4, 4))
    counted = types(exported.net)
    assert (counted.count("Slice"), counted.count("Silence")) == (slices, silences)
    assert not exported.batch_is_fixed and exported.verify(batch=3).ok


def test_samples_are_not_divided() -> None:
    exported = fx2caffe.export(Function(lambda x: (x[:1].relu(), x[1:].exp())), torch.randn(2, 6))
    assert exported.batch_is_fixed and exported.verify().ok
