"""Memory that the model allocates and has not written is zeros, whatever it held before."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

import fx2caffe

ALLOCATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "empty": lambda x: torch.empty(x.shape),
    "empty_by_sizes": lambda x: torch.empty(x.shape[0], 4, 3),
    "empty_like": torch.empty_like,
    "new_empty": lambda x: x.new_empty(x.shape),
    "new": lambda x: x.new(x.shape[0], 4, 3),
    "constructor": lambda x: torch.Tensor(x.shape[0], 4, 3),
    "empty_strided": lambda x: torch.empty_strided(x.shape, (12, 3, 1)),
    "new_empty_strided": lambda x: x.new_empty_strided(x.shape, (12, 3, 1)),
    "empty_permuted": lambda x: torch.empty_permuted(x.shape, (0, 2, 1)),
    "aten": lambda x: torch.ops.aten.empty_like(x),
}


class Written(nn.Module):
    """Writes its memory in two steps, the last only if `wholly`."""

    def __init__(self, allocate: Callable[[Tensor], Tensor], wholly: bool) -> None:
        super().__init__()
        self.allocate, self.wholly = allocate, wholly

    def forward(self, x: Tensor) -> Tensor:
        result = self.allocate(x)
        result[:, ::2] = x[:, ::2] * 2
        if self.wholly:
            result[:, 1::2] = x[:, 1::2] + 1
        return result


@pytest.fixture(autouse=True)
def nan_in_new_memory() -> Iterator[None]:
    """Let torch fill the memory that it allocates with NaN, as chance may."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("name", ALLOCATIONS)
def test_wholly_written(name: str) -> None:
    x = torch.randn(2, 4, 3)
    exported = fx2caffe.export(Written(ALLOCATIONS[name], wholly=True).eval(), x)
    assert exported.verify().ok


@pytest.mark.parametrize("name", ALLOCATIONS)
def test_read_before_it_is_written(name: str) -> None:
    model = Written(ALLOCATIONS[name], wholly=False).eval()
    with pytest.raises(fx2caffe.UnsupportedError, match="needs to do the same each time"):
        fx2caffe.export(model, torch.randn(2, 4, 3))
