"""The reference has float64's precision and float32's range: both sides overflow alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

import fx2caffe
from caffe2fx.engines import Engine
from caffe2fx.net.evaluate import in_range

LOWEST = torch.finfo(torch.float32).min
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(2, 4, 8, generator=GENERATOR)
MASK = (torch.rand(2, 1, 8, generator=GENERATOR) > 0.4).float().index_fill(2, torch.tensor(0), 1)


class Function(nn.Module):
    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


@dataclass(frozen=True)
class Row:
    id: str
    function: Callable[..., Tensor]
    inputs: tuple[Tensor, ...] = field(default=(X,))


def masked_twice(x: Tensor, mask: Tensor) -> Tensor:
    """Return attention where two masks of the lowest float32 add up to infinity."""
    lowest = (1 - mask) * LOWEST
    return torch.softmax(x + lowest + lowest, -1)


ROWS = [
    Row("masked_twice", masked_twice, (X, MASK)),
    Row("nan_to_num", lambda x: torch.nan_to_num(x * 1e38 * 4) * 1e-38),
    Row("nan_to_num_low", lambda x: torch.nan_to_num(x * 1e38 * 4, posinf=1e38) * 1e-38),
    Row("rms_norm_of_small", lambda x: nn.functional.rms_norm(x * 1e-5, (8,))),
]


@pytest.mark.pycaffe
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_overflow_and_eps_are_those_of_float32(row: Row, caffe: Engine) -> None:
    exported = fx2caffe.export(Function(row.function).eval(), row.inputs)
    for engine in ("torch", caffe):
        report = exported.verify(engine=engine)
        assert report.ok, str(report)


def test_what_float32_cannot_hold_is_infinite() -> None:
    value = torch.tensor([1e39, -1e39, 1e38, float("nan")], dtype=torch.float64)
    expected = [float("inf"), float("-inf"), 1e38, float("nan")]
    torch.testing.assert_close(in_range(value).tolist(), expected, equal_nan=True)
    small, text = torch.ones(2, dtype=torch.float64), "text"
    first, second, third = in_range((small, value, text))
    assert first is small and second[0] == float("inf") and third == text
    pair = (small, small)
    assert in_range(pair) is pair
