"""The layer and the blob of a node's result have the node's name, whatever made it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import fx2caffe
from tests.rows import Function

ONES = torch.linspace(0.5, 1, 12).reshape(3, 4)
FIRST = torch.tensor([0, 0])


def _read(x: Tensor) -> tuple[Tensor, Tensor]:
    loss = F.mse_loss(x, x.flip(1), reduction="none")
    return loss, loss.sigmoid()


# The function, the outputs' blobs, and the layers that write them last.
ROWS: dict[str, tuple[Callable[[Tensor], Any], tuple[str, ...], tuple[str, ...]]] = {
    "the last of a loss": (
        lambda x: F.mse_loss(x, x.flip(1), reduction="none"), ("mse_loss",), ("mse_loss",)
    ),
    "a product": (
        lambda x: F.huber_loss(x, x.flip(1), reduction="none"), ("huber_loss",), ("huber_loss",)
    ),
    "of two calls": (
        lambda x: (F.mse_loss(x, x.flip(1), reduction="none"),
                   F.mse_loss(x.exp(), x, reduction="none")),
        ("mse_loss", "mse_loss_1"), ("mse_loss", "mse_loss_1"),
    ),
    "read and an output": (_read, ("mse_loss/output", "sigmoid"), ("mse_loss/output", "sigmoid")),
    "overwritten by another node": (
        lambda x: F.mse_loss(x, x.flip(1), reduction="none").relu(), ("mse_loss",), ("relu",)
    ),
    "in place in an inner blob": (
        lambda x: F.kl_div(x, ONES.expand(2, 3, 4), reduction="none"), ("kl_div",), ("kl_div",)
    ),
    "tops of one layer": (
        lambda x: (x[:, :1], x[:, 1:]), ("getitem", "getitem_1"), ("getitem/select",) * 2
    ),
    "written at indices": (
        lambda x: x.index_put((FIRST, FIRST + 1), ONES[:2], accumulate=True),
        ("index_put",), ("index_put",),
    ),
    "several results": (lambda x: x.topk(2), ("topk/values", "topk/indices"),
                        ("topk/values", "topk/indices")),
}  # fmt: skip


@pytest.mark.parametrize(("body", "blobs", "layers"), ROWS.values(), ids=ROWS)
def test_results_have_the_names_of_their_nodes(
    body: Callable[[Tensor], Any], blobs: tuple[str, ...], layers: tuple[str, ...]
) -> None:
    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(5))
    exported = fx2caffe.export(Function(body), x)
    makers = exported.net.producers()
    assert exported.outputs == blobs
    assert tuple(makers[output].name for output in exported.net.outputs) == layers
    assert exported.verify("torch").ok
