"""A module in float64 shares its code and frees its memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from caffe2fx.net.precision import in_precision


def test_a_copy_in_float64_widens_floats_alone_and_frees_its_memory() -> None:
    module = nn.Linear(3, 2)
    module.indices = nn.Parameter(torch.tensor([2, 0, 1]), requires_grad=False)
    module.register_buffer("count", torch.tensor(4))
    with in_precision(module, torch.float32) as same:
        assert same is module
    with in_precision(module, torch.float64) as twin:
        kinds = {name: value.dtype for name, value in twin.state_dict().items()}
        assert torch.equal(twin.weight, module.weight.double())
    floats, whole = torch.float64, torch.int64
    assert kinds == {"weight": floats, "bias": floats, "indices": whole, "count": whole}
    assert all(value.is_meta for value in twin.state_dict().values())
    assert not any(value.is_meta for value in module.state_dict().values())


class Leaf(nn.Module):
    """Has a list of its parameters, as torch's own recurrent ones have, and a hook."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.listed = [self.linear.weight]
        self.linear.register_forward_hook(
            lambda module, args, result: result * self.listed[0][0, 0]
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


class CopiedByItself(Leaf):
    def __deepcopy__(self, memo: dict[int, Any]) -> CopiedByItself:
        copy = CopiedByItself()
        copy.load_state_dict(self.state_dict())
        return copy.double()


@pytest.mark.parametrize("kind", [Leaf, CopiedByItself])
def test_a_graph_in_float64_shares_its_code_and_no_tensor(kind: type[Leaf]) -> None:
    leaf = kind()
    root = nn.ModuleDict({"leaf": leaf, "again": leaf})
    graph = fx.Graph()
    x = graph.placeholder("x")
    graph.output(graph.call_module("again", (graph.call_module("leaf", (x,)),)))
    module = fx.GraphModule(root, graph)
    x = torch.randn(4, 3)
    with in_precision(module, torch.float64) as twin, torch.no_grad():
        assert type(twin) is type(module) and twin.graph is module.graph
        assert twin.leaf is twin.again
        ids = {id(value) for value in module.state_dict(keep_vars=True).values()}
        assert not ids.intersection(map(id, twin.state_dict(keep_vars=True).values()))
        torch.testing.assert_close(twin(x.double()), module(x).double())
        assert twin.leaf.listed[0].dtype is torch.float64
    assert not leaf.linear.weight.is_meta
