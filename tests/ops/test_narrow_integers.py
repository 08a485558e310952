"""Every byte: integers of one or two bytes wrap around, and constants become such, as torch's."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import caffe2fx
import fx2caffe
from tests.rows import Function

BYTES = torch.arange(256, dtype=torch.int16).reshape(2, 128)
DTYPES = (torch.uint8, torch.int8)
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "a sum": lambda x: x + x.flip(1),
    "a number added": lambda x: x + 100,
    "a difference": lambda x: x - x.flip(1),
    "weighted": lambda x: torch.sub(x, x.flip(1), alpha=2),
    "subtracted": lambda x: 7 - x,
    "negative": lambda x: -x,
    "a product": lambda x: x * x.flip(1),
    "a negative factor": lambda x: x * -3,
    "a square": torch.square,
    "a cube": lambda x: x**3,
    "a size": torch.abs,
    "inverted": lambda x: ~x,
    "shifted left": lambda x: x << 3,
    "shifted left by its own bits": lambda x: x << (x & 3),
    "shifted out to the left": lambda x: x << 9,
    "shifted right": lambda x: x >> 1,
    "shifted out to the right": lambda x: x >> 9,
    "shifted by a narrow constant": lambda x: x << torch.tensor(2, dtype=x.dtype),
    "divided": lambda x: x // 3,
    "divided by -1": lambda x: x // -1,
    "a remainder": lambda x: x % -7,
    "a signed remainder": lambda x: torch.fmod(x, -7),
    "a narrow sum": lambda x: x.sum(1, dtype=x.dtype),
    "a narrow running sum": lambda x: x[:, :20].cumsum(1, dtype=x.dtype),
    "a wide sum": lambda x: x.sum(1),
    "a matrix product": lambda x: x[:, :20] @ x[:, :20].t(),
    "added in place": lambda x: x.clone().add_(x.flip(1)),
    "a bit beyond": lambda x: x | 256,
    "negative bits": lambda x: x & -2,
    "a number beyond": lambda x: torch.where(x > 3, x, -1),
    "a fill beyond": lambda x: x.masked_fill(x > 3, -1),
    "compared with a number beyond": lambda x: (x == 300).byte() + (x > -1),
    "clamped beyond": lambda x: x.clamp(torch.tensor(-5), torch.tensor(300)),
    "clamped from below": lambda x: x.clamp_min(-5),
    "clamped from above": lambda x: x.clamp(max=-1),
    "a minimum with a number beyond": lambda x: torch.fmin(x, torch.tensor(300)),
    "a maximum with a number beyond": lambda x: torch.max(x, torch.tensor(-7)),
    "divided by a number beyond": lambda x: torch.div(x, -4, rounding_mode="trunc"),
    "rounded down by a number beyond": lambda x: torch.div(x, -4, rounding_mode="floor"),
    "a largest element": lambda x: x.amax(1),
    "the largest of all": lambda x: x.max() // 2 + x.flip(1),
    "a median": lambda x: x[:, 3:8].median(),
    "sorted": lambda x: torch.msort(x[:, :5].t()),
    "turned": torch.fliplr,
    "between bounds": lambda x: torch.nn.functional.hardtanh(x, 3, 100),
    "above a threshold": lambda x: torch.nn.functional.threshold(x, 20, 7),
    "a step": lambda x: torch.heaviside(x, x.flip(1)),
    "written at computed indices": lambda x: x.scatter(1, (x[:, :1] > 3).long(), 7),
    "the largest at computed indices": lambda x: x[:, :3].scatter_reduce(
        1, (x > 3).long(), x, "amax"
    ),
    "the smallest at indices": lambda x: x[:, :3].index_reduce(
        1, torch.arange(128) % 2, x, "amin", include_self=False
    ),
    "a copied row": lambda x: x.index_copy(0, torch.tensor([1]), x[:1] + 100),
    "a put row": lambda x: x.index_put((torch.tensor([1]),), x[0] * 2),
    "a selected row": lambda x: torch.select_scatter(x, x[0] + 100, 0, 1),
    "padded": lambda x: torch.nn.functional.pad(x, (1, 1), value=3),
    "cast to bytes": lambda x: (x.long() * 3).to(torch.uint8),
    "cast to signed bytes": lambda x: (x.long() * 3).to(torch.int8),
    "cast of bounded floats": lambda x: (x.div(256).clamp(0, 1) * 255).round().to(torch.uint8),
    "one after the other": lambda x: ((x + x.flip(1)) * 3 - x) // 2,
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_byte(name: str, dtype: torch.dtype) -> None:
    x = BYTES.to(dtype)
    exported = fx2caffe.export(Function(FUNCTIONS[name]), x)
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "net.prototxt"), Path(folder, "net.caffemodel")
        exported.save(*files)
        found = caffe2fx.load(*files)(x.float())
    assert torch.equal(found, FUNCTIONS[name](x).float())


@pytest.mark.pycaffe
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_byte_in_caffe(dtype: torch.dtype) -> None:
    def everything(x: Tensor) -> tuple[Tensor, ...]:
        return tuple(function(x) for function in FUNCTIONS.values())

    report = fx2caffe.export(Function(everything), BYTES.to(dtype)).verify("pycaffe")
    assert report.status != "differs", report.summary()


def test_what_cannot_leave_is_not_wrapped() -> None:
    half = fx2caffe.export(Function(lambda x: (x >> 1) + (x & 127)), BYTES.byte())
    assert not any("wrapped" in step.name for step in half.net.steps)
