"""Every layer alone, in another precision and on another device: nothing of it stays behind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from caffe2fx.layers import Source
from caffe2fx.module.builder import graph_module
from caffe2fx.module.graph_module import CaffeGraphModule
from caffe2fx.net.net import Net
from tests.layers.row import Row
from tests.layers.test_rows import ROWS, over

rows = over(row for row in ROWS.values() if not isinstance(row.layer, Source) and row.tops)


def net_of(row: Row) -> CaffeGraphModule:
    """Return a net of that layer."""
    steps = tuple(row.steps())
    return graph_module(Net(steps, steps[-1].tops))


def tensors(results: Any) -> list[Tensor]:
    return [results] if isinstance(results, Tensor) else list(results)


@rows
def test_all_of_it_moves_to_another_precision(row: Row) -> None:
    inputs = [value.double() for value in row.inputs()]
    module = net_of(row).double()
    with torch.no_grad():
        assert {top.dtype for top in tensors(module(*inputs))} == {torch.float64}


@rows
def test_all_of_it_moves_to_another_device(row: Row) -> None:
    if row.layer.has_dynamic_shape:
        pytest.skip("not run: how many rows there are depends on values, of which meta has none")
    inputs = [value.to("meta") for value in row.inputs()]
    module = net_of(row).to("meta")
    assert {top.device.type for top in tensors(module(*inputs))} == {"meta"}
