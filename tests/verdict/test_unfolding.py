"""Convolution by unfolding against torch's own, in one thread alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import nn

import fx2caffe
from caffe2fx.verdict.reference.unfolding import ByUnfolding

ROWS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "1d": ((2, 4, 9), (6, 4, 3), {"stride": 2, "padding": 1}),
    "2d": ((2, 4, 9, 8), (6, 4, 3, 2), {}),
    "2d sides": (
        (2, 4, 9, 8), (6, 4, 3, 2), {"stride": (2, 1), "padding": (0, 3), "dilation": (1, 2)}
    ),
    "2d, one size in a tuple": ((2, 4, 9, 8), (6, 4, 3, 2), {"stride": (2,), "padding": (1,)}),
    "groups": ((2, 4, 9, 8), (6, 2, 3, 3), {"groups": 2}),
    "depthwise": ((2, 4, 9, 8), (4, 1, 3, 3), {"groups": 4, "padding": 1}),
    "same": ((2, 4, 9, 8), (6, 4, 4, 3), {"padding": "same", "dilation": (1, 2)}),
    "valid": ((2, 4, 9, 8), (6, 4, 3, 3), {"padding": "valid"}),
    "no batch": ((4, 9, 8), (6, 4, 3, 3), {"padding": 1}),
    "3d": ((2, 4, 5, 6, 7), (6, 2, 3, 2, 1), {"groups": 2, "padding": (1, 0, 2), "stride": 2}),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("bias", [True, False])
def test_convolutions(name: str, bias: bool) -> None:
    shape, kernel, options = ROWS[name]
    x, weight = torch.randn(shape).double(), torch.randn(kernel).double()
    b = torch.randn(kernel[0]).double() if bias else None
    function = {3: torch.conv1d, 4: torch.conv2d, 5: torch.conv3d}[len(kernel)]
    wanted = function(x, weight, b, **options)
    with ByUnfolding():
        got = function(x, weight, b, **options)
        again = function(input=x, weight=weight, bias=b, **options)
    torch.testing.assert_close(got, wanted)
    assert torch.equal(got, again)


def test_it_rounds_otherwise() -> None:
    conv, x = nn.Conv2d(64, 8, 3), torch.randn(1, 64, 12, 12)
    with torch.no_grad(), ByUnfolding():
        unfolded = conv(x)
    assert 0 < (unfolded - conv(x)).abs().max() < 1e-4


def test_threads_that_verify_leave_the_process_as_it_was() -> None:
    """oneDNN is chosen for the whole process: who switched it off would take others along."""
    seen: list[bool] = []

    class Watching(nn.Conv2d):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            seen.append(bool(torch.backends.mkldnn.enabled))
            return super().forward(input)

    def verified(_: int) -> bool:
        model = nn.Sequential(Watching(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
        return fx2caffe.export(model.eval(), torch.randn(2, 3, 8, 8)).verify().ok

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(verified, range(12)))
    assert torch.backends.mkldnn.enabled and all(seen)
