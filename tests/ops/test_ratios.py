"""A quotient of integers is rounded to an integer as torch does it, to the last multiple."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import fx2caffe
from caffe2fx.net.evaluate import complete

DIVISORS = (3, 7, 49, 3333, 65521)
MODES: dict[str, Callable[[Tensor], Tensor]] = {
    "long": lambda x: x.long(),
    "int": lambda x: x.to(torch.int32),
    "floor": torch.floor,
    "ceil": torch.ceil,
    "trunc": torch.trunc,
}


class Rounded(nn.Module):
    """(ids / divisor), rounded."""

    def __init__(self, divisor: int, mode: str) -> None:
        super().__init__()
        self.divisor, self.mode = divisor, mode

    def forward(self, ids: Tensor) -> Tensor:
        return MODES[self.mode](ids / self.divisor)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("divisor", DIVISORS)
def test_a_quotient_of_integers(divisor: int, mode: str) -> None:
    """Multiples, and their neighbours, on both sides of 0 up to 2^24."""
    multiples = torch.arange(-(2**24) // divisor + 2, 2**24 // divisor - 1) * divisor
    some = multiples[torch.linspace(0, len(multiples) - 1, 2000).long()]
    ids = torch.cat([some, (some - 1)[1:], some + 1])[None]
    model = Rounded(divisor, mode).eval()
    net = fx2caffe.export(model, ids).net
    values = complete(net, {net.inputs[0]: ids.float()})
    assert torch.equal(values[net.outputs[0]], model(ids).float())
