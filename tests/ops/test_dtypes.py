"""Values that float32 cannot hold are refused, and names of blobs do not collide."""

from __future__ import annotations

import tempfile
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

BYTES = torch.tensor([[100, 200, 250]], dtype=torch.uint8)
LONGS = torch.tensor([[-3, 2, 5]])
FLOATS = torch.randn(1, 4, 6, 5)


def _into_integers(x: Tensor) -> Tensor:
    y = x * 1
    y[:, 0] = 0.7
    return y


def _thrice_into_bytes(x: Tensor) -> Tensor:
    bounded = x.sigmoid() * 100
    return torch.add(bounded, bounded, alpha=2).to(torch.uint8)


def _longs_into_bytes(x: Tensor) -> Tensor:
    y = x.byte()
    y[:, 0] = x[:, 1]
    return y


def _into_half(x: Tensor) -> Tensor:
    z = torch.zeros(1, 4, 6, 5, dtype=torch.half)
    z[:, :2] = x[:, :2] * 1e5
    return z


ROWS: dict[str, tuple[Callable[[Tensor], Tensor], Tensor, str]] = {
    "floats into bytes": (lambda x: x.to(torch.uint8), FLOATS, "needs results that do not wrap"),
    "floats clamped too far into bytes": (
        lambda x: (x.clamp(0, 1) * 256).to(torch.uint8),
        FLOATS,
        "needs results that do not wrap around",
    ),
    "bounded floats added with a factor into bytes": (
        _thrice_into_bytes,
        FLOATS,
        "needs results that do not wrap around",
    ),
    "bounded floats that are rounded down into bytes": (
        lambda x: x.tanh().div(3, rounding_mode="floor").to(torch.uint8),
        FLOATS,
        "needs results that do not wrap around",
    ),
    "longs written into bytes": (_longs_into_bytes, LONGS, "needs operands of torch.uint8 alike"),
    "bytes clamped to a long": (
        lambda x: x.byte().clamp(max=x[0, 2] * 100),
        LONGS,
        "needs operands of torch.uint8 alike",
    ),
    "bytes compared with a long": (
        lambda x: x.byte() > x[0, 2] * 100,
        LONGS,
        "needs operands of torch.uint8 alike",
    ),
    "bytes whose product is too large": (
        lambda x: x.prod(1, dtype=torch.uint8),
        BYTES.repeat(1, 2),
        "needs integers up to 2",
    ),
    "shorts by shorts": (lambda x: x * x, LONGS.short(), "needs integers up to 2"),
    "integer powers": (lambda x: x**x, LONGS, "needs powers of floating values"),
    "integer powers of 1": (lambda x: 1**x, LONGS, "needs powers of floating values"),
    "averages of integers": (
        lambda x: F.avg_pool2d(x, 2),
        LONGS.expand(1, 2, 4, 3),
        "needs averages of floating values",
    ),
    "a float into half": (_into_half, FLOATS, "needs a written value of torch.float16"),
    "bytes averaged at indices": (
        lambda x: x.byte().scatter_reduce(1, x * 0, x.byte(), "mean"),
        LONGS,
        "needs results that do not wrap around",
    ),
    "bytes added at indices": (
        lambda x: x.byte().index_reduce(1, torch.tensor([0, 0, 1]), x.byte(), "prod"),
        LONGS,
        "needs results that do not wrap around",
    ),
    "integers averaged into a constant": (
        lambda x: torch.zeros(4, 3, dtype=torch.long).scatter_reduce(1, x * 0, x, reduce="mean"),
        LONGS,
        "needs averages of floating values",
    ),
    "masks added by name": (
        lambda x: (x > 0).scatter_reduce(1, x * 0, x > 2, "sum"),
        LONGS,
        "needs sums of values, got masks",
    ),
    "differences of masks": (lambda x: (x > 0).diff(), LONGS, "needs sums of values, got masks"),
    "masks added to masks": (
        lambda x: (x > 0).scatter(1, torch.tensor([[1, 1]]), x[:, :2] > 2, reduce="add"),
        LONGS,
        "needs sums of values, got masks",
    ),
    **{
        f"masks added at indices, {spelling}": (put, LONGS, "needs sums of values, got masks")
        for spelling, put in {
            "a keyword": lambda x: (x > 0).index_put(
                (torch.tensor([0, 0]),), x > 2, accumulate=True
            ),
            "by position": lambda x: (x > 0).index_put((x[0] * 0,), x > 2, True),
            "of aten": lambda x: torch.ops.aten.index_put(x > 0, [None, x[0] * 0], x > 2, True),
        }.items()
    },
    "NaN": (lambda x: x * torch.tensor(float("nan")), FLOATS, "needs constants without NaN"),
}


MASK = torch.tensor([[True, False, True]])
WRITTEN: dict[str, Callable[[Tensor], Tensor]] = {
    "into a slice": _into_integers,
    "masked_fill": lambda x: x.masked_fill(MASK, -0.7),
    "masked_fill of a mask": lambda x: (x > 0).masked_fill(x > 2, 0.5),
    "masked_fill by a computed mask": lambda x: x.masked_fill(x > 0, 2.7),
    "a computed number": lambda x: x.masked_fill(MASK, (x.float() / 2)[0, 0]),
    "a computed slice": lambda x: torch.cat((x, x)).index_put(
        (torch.tensor([1]),), (x * 0.5).long()),
    "a mask assigned": lambda x: _assigned(x, x > 0, 2.7),
    "a mask of columns assigned": lambda x: _assigned(x, (slice(None), x[0] > 0), 2.7),
    "select_scatter": lambda x: x.select_scatter(x[:, 0] * 0.7, 1, 2),
    "select_scatter of a mask": lambda x: (x > 0).select_scatter(x[:, 0] + 3, 1, 2),
    "slice_scatter": lambda x: x.slice_scatter(x[:, :2] * 0.7, 1, 1),
    "diagonal_scatter": lambda x: x.expand(3, 3).diagonal_scatter(x[0] * 0.7),
    "as_strided_scatter": lambda x: torch.as_strided_scatter(x, x[0, :2] * 0.7, (2,), (2,)),
    "index_fill": lambda x: x.index_fill(1, torch.tensor([0, 2]), 2.7),
    "scatter": lambda x: x.scatter(1, torch.tensor([[1]]), 2.7),
    "pad": lambda x: F.pad(x, (1, 1), value=2.7),
    "threshold": lambda x: F.threshold(x, 1.5, 2.7),
    "hardtanh": lambda x: F.hardtanh(x, -1.5, 2.7),
    "a sum of what is cast": lambda x: (x * 0.7).sum(1, dtype=torch.int64),
    "a running sum of what is cast": lambda x: (x * 0.7).cumsum(1, dtype=torch.int64),
    "weights of a product": lambda x: torch.addmv(x[0], x.expand(3, 3), x[0], beta=1.6, alpha=0.4),
    "weights of products": lambda x: torch.baddbmm(
        x[None], x[None].float().long(), x.t().expand(3, 3)[None], beta=0.9, alpha=2.7),
    "masks at indices": lambda x: (x > 0).scatter_reduce(1, (x > 4).long(), x < 0, "amax"),
    "masks at indices alone": lambda x: torch.zeros(1, 3, dtype=torch.bool).scatter_reduce(
        1, (x > 4).long(), x < 5, "amin", include_self=False),
    "masks multiplied at indices": lambda x: (x < 9).scatter_reduce(
        1, (x > 4).long(), x < 5, "prod"),
    "a sum of a mask": lambda x: (x > 0).sum(1, dtype=torch.int32),
}  # fmt: skip


def _assigned(x: Tensor, index: Any, value: float) -> Tensor:
    y = x.clone()
    y[index] = value
    return y


def test_the_reference_of_integers_keeps_fractions() -> None:
    exported = fx2caffe.export(Function(lambda x: x * 0.5), LONGS)
    (output,) = exported.net.outputs
    assert torch.equal(exported.reference([LONGS])[output], LONGS * 0.5)


@pytest.mark.parametrize("name", WRITTEN)
def test_values_written_into_integers_are_cast(name: str) -> None:
    """The values, since a verdict of one example may not reach them."""
    model = Function(WRITTEN[name])
    exported = fx2caffe.export(model, LONGS)
    results = exported.reference([LONGS.float()])
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "net.prototxt"), Path(folder, "net.caffemodel")
        exported.save(*files)
        found = caffe2fx.load(*files)(LONGS.float())
    assert results and torch.equal(found, model(LONGS).float())


@pytest.mark.parametrize("name", ROWS)
def test_refused(name: str) -> None:
    body, x, reason = ROWS[name]
    with pytest.raises(fx2caffe.UnsupportedError, match=reason):
        fx2caffe.export(Function(body), x)


def test_moves_of_bytes_are_not_arithmetic() -> None:
    def moved(x: Tensor) -> Tensor:
        return (x.reshape(3, 1).flatten() & 15) | 3

    exported = fx2caffe.export(Function(moved), BYTES)
    assert exported.verify().ok


def test_a_bool_constant_is_a_factor() -> None:
    mask = torch.ones(4, 6, 5, dtype=torch.bool)
    mask[1] = False
    exported = fx2caffe.export(Function(lambda x: x * mask + x), FLOATS)
    assert exported.verify().ok


class Colliding(nn.Module):
    """A module with the name that a top of another layer would get."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 4, 1)
        self.add_module("chunk:0", nn.ReLU())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        p, q = x.chunk(2, 1)
        y = self._modules["chunk:0"](self.conv(x))  # type: ignore[misc]
        return p * 2 + q, y


@pytest.mark.pycaffe
def test_tops_have_names_of_their_own() -> None:
    assert fx2caffe.export(Colliding(), torch.randn(1, 8, 3, 3)).verify("pycaffe").ok
