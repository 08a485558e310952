"""Models that remember their calls: a net is the next call, and nothing is left changed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import fx2caffe


class Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.state = 0

    def forward(self, x: Tensor) -> Tensor:
        self.state += 1
        return x * self.state


class CountsInABuffer(nn.Module):
    state: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("state", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        self.state += 1
        return x * self.state


class Decays(CountsInABuffer):
    def forward(self, x: Tensor) -> Tensor:
        self.state = self.state * 0.5 + x
        return self.state


class Caches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.state: dict[int, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        if not self.state:
            self.state[0] = x.mean(1, keepdim=True)
        return x - self.state[0]


class Collects(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.state: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.state.append(x.tanh())
        return torch.stack(self.state).sum(0)


@pytest.mark.parametrize("calls", [0, 1, 2])
@pytest.mark.parametrize("kind", [Counts, CountsInABuffer, Decays, Caches, Collects])
def test_a_net_is_the_next_call(kind: type[nn.Module], calls: int) -> None:
    model, x = kind().eval(), torch.randn(1, 4)
    for _ in range(calls):
        model(torch.randn(1, 4))
    state = model.state
    before = str(state)
    net = fx2caffe.export(model, x)
    assert net.verify().ok
    assert model.state is state and str(state) == before
    torch.testing.assert_close(net.reference([x])[net.net.outputs[0]], model(x))
