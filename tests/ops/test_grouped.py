"""Groups of rows under the name that transformers gives them in a program to be exported."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.library import Library

import fx2caffe

NAME = "grouped_mm_fallback"
MATRICES = torch.linspace(-1, 1, 90).reshape(3, 6, 5)


class Experts(nn.Module):
    """Multiplies rows of 24 bytes, which torch's own function does not take on a CPU."""

    def forward(self, rows: Tensor, offsets: Tensor) -> Tensor:
        result: Tensor = getattr(torch.ops.transformers, NAME)(rows, MATRICES, offs=offsets)
        return result


def by_group(input: Tensor, weight: Tensor, offs: Tensor) -> Tensor:
    """Return zeros for the rows after the last group, as transformers does."""
    result, start = input.new_zeros(len(input), weight.shape[2]), 0
    for matrix, end in zip(weight, offs.tolist(), strict=True):
        result[start:end] = input[start:end] @ matrix
        start = end
    return result


@pytest.fixture
def _operator() -> Iterator[None]:
    if hasattr(torch.ops.transformers, NAME):
        yield
        return
    library = Library("transformers", "FRAGMENT")
    library.define(f"{NAME}(Tensor input, Tensor weight, Tensor offs) -> Tensor")
    library.impl(NAME, by_group, "CPU")
    yield
    library._destroy()


@pytest.mark.usefixtures("_operator")
@pytest.mark.parametrize("ends", [(2, 2, 6), (0, 3, 5), (6, 6, 6)])
def test_the_operator_of_transformers(ends: tuple[int, ...]) -> None:
    inputs = torch.randn(6, 6), torch.tensor(ends)
    exported = fx2caffe.export(Experts(), inputs)
    assert exported.verify().ok
