"""Values that are constant although a traced tensor holds them are computed at export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import caffe2fx
import fx2caffe
from tests.rows import Function

X = torch.linspace(-2, 3, 30).reshape(2, 3, 5)
WRITES: dict[str, Callable[[Tensor], Any]] = {
    "zero_": lambda y: y.zero_(),
    "fill_": lambda y: y.fill_(1.5),
    "fill_ by a constant": lambda y: y.fill_(torch.tensor(3.0) / 2),
    "copy_": lambda y: y.copy_(torch.tensor(-1.0)),
    "copy_ of a row": lambda y: y.copy_(torch.arange(5.0)),
    "setitem": lambda y: y.__setitem__(slice(None), torch.arange(5.0)),
    "part by part": lambda y: [row.fill_(2.0) for row in y.unbind(1)],
}
READS: dict[str, Callable[[Tensor], Any]] = {
    "itself": lambda y: y,
    "sum": lambda y: y.sum(1),
    "flip": lambda y: y.flip(1),
    "pad": lambda y: F.pad(y, (1, 1)),
    "relu": lambda y: y.relu(),
    "softmax": lambda y: y.softmax(1),
    "cumsum": lambda y: y.cumsum(1),
    "max_pool": lambda y: F.max_pool1d(y, 2),
    "add": lambda y: y + 1,
    "cat": lambda y: torch.cat([y, y]),
    "sort": lambda y: y.sort(1)[0],
    "layer_norm": lambda y: F.layer_norm(y, (5,)),
    "matmul": lambda y: y @ y.transpose(1, 2),
    "item": lambda y: y[:, 1:, ::2],
    "stack of halves": lambda y: torch.stack(torch.split(y, [1, 2], dim=1)[1].unbind(1)),
}


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("write", WRITES)
def test_a_traced_tensor_that_became_constant(write: str, read: str, tmp_path: Path) -> None:
    def forward(x: Tensor) -> Any:
        y = x * 2
        WRITES[write](y)
        return READS[read](y), x * 3

    assert_same(Function(forward), tmp_path)


def assert_same(model: nn.Module, folder: Path) -> None:
    """Check that the net that is written gives the model's outputs."""
    files = folder / "net.prototxt", folder / "net.caffemodel"
    net = fx2caffe.export(model, X)
    net.save(*files)
    blobs = caffe2fx.load(*files).caffe.blobs(X)
    for name, wanted in zip(net.outputs, model(X), strict=True):
        torch.testing.assert_close(blobs[name], wanted)


class Broadcasts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([2.0]))

    def forward(self, x: Tensor) -> Any:
        first, second = torch.broadcast_tensors(self.weight, x)
        return (first + 1).sum(1) + x.sum(1), second * 2


def test_the_constant_part_of_a_result(tmp_path: Path) -> None:
    assert_same(Broadcasts(), tmp_path)
