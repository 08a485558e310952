"""Models in other precisions are exported as float32, or refused in words."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

import fx2caffe
from caffe2fx.errors import CaffeError
from caffe2fx.verdict.reference.calibrate import calibrate
from tests.rows import Function

X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(5))


class Net(nn.Module):
    """Parameters, buffers, a plain tensor attribute and a cast to the weights' own type."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = weight_norm(nn.Conv2d(3, 4, 3))
        self.norm = nn.BatchNorm2d(4)
        self.register_buffer("offset", torch.randn(4, 1, 1))
        self.factor = torch.randn(4, 4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.offset.dtype)  # type: ignore[arg-type]
        return F.conv2d(self.norm(self.conv(x)), self.factor) + self.offset


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("fold", [True, False])
def test_other_precisions(dtype: torch.dtype, fold: bool) -> None:
    model: Any = calibrate(Net(), [X]).to(dtype)
    model.factor = model.factor.to(dtype)
    before = copy.deepcopy(model.state_dict())
    exported = fx2caffe.export(model, X.to(dtype), fold_batchnorm=fold)
    assert all(blob.dtype is torch.float32 for step in exported.net for blob in step.blobs)
    report = exported.verify()
    assert report.ok, str(report)
    wide = copy.deepcopy(model).float()
    wide.factor = wide.factor.float()
    expected = wide(X.to(dtype).float())
    got = exported.reference(exported.example_inputs)[exported.net.outputs[0]]
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    after = model.state_dict()
    assert {n: v.dtype for n, v in after.items()} == {n: v.dtype for n, v in before.items()}
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert model.factor.dtype is dtype


def test_mixed_precision() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3).half(), Widen(), nn.BatchNorm2d(4)).eval()
    assert fx2caffe.export(model, X.half()).verify().ok


class Widen(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.float()


def test_inputs_of_another_precision() -> None:
    model = nn.Conv2d(3, 4, 3).eval()
    exported = fx2caffe.export(model, X.double())
    assert exported.example_inputs[0].dtype is torch.float32
    assert exported.verify(inputs=X.half()).ok
    assert exported.verify(inputs=X.numpy()).ok


def test_a_float32_model_is_not_copied() -> None:
    model = nn.Conv2d(3, 4, 3).eval()
    blobs = fx2caffe.export(model, X).net.steps[1].blobs
    assert blobs[0].data_ptr() == model.weight.data_ptr()


def test_meta_weights() -> None:
    with pytest.raises(CaffeError, match=r"weight needs values, got none \(device meta\)"):
        fx2caffe.export(nn.Conv2d(3, 4, 3, device="meta"), X)


class Turned(nn.Module):
    """Multiplies by complex weights in double precision."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1 + 1j, 2j, -1.5], dtype=torch.complex128))

    def forward(self, x: Tensor) -> Tensor:
        return (x[:, :, 0, :3] * self.weight).imag


def test_complex_weights_are_pairs_of_float32() -> None:
    model = Turned()
    before = model.weight.detach().clone()
    assert fx2caffe.export(model, X.double()).verify().ok
    assert model.weight.dtype is torch.complex128 and torch.equal(model.weight, before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_model_on_a_gpu() -> None:
    model = calibrate(Net(), [X])
    expected = model(X)
    model.cuda()
    exported = fx2caffe.export(model, X.cuda())
    assert exported.verify().ok
    assert all(blob.device.type == "cpu" for step in exported.net for blob in step.blobs)
    got = exported.reference(exported.example_inputs)[exported.net.outputs[0]]
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    assert all(tensor.is_cuda for tensor in model.state_dict().values())


FLOAT32: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda x: x.softmax(-1, dtype=torch.float32) @ x.mT,
    "softmax, cast back": lambda x: x.softmax(-1, dtype=torch.float32).to(x.dtype) @ x.mT,
    "cumsum": lambda x: x.cumsum(-1, dtype=torch.float32) @ x.mT,
    "mean": lambda x: x.mean(-1, keepdim=True, dtype=torch.float32).mT @ x.mT,
    "norm": lambda x: (x / x.norm(dim=-1, keepdim=True, dtype=torch.float32)) @ x.mT,
    "float of a mask": lambda x: (x > 0).float() @ x.mT,
    "type of a mask": lambda x: (x > 0).type(torch.FloatTensor) @ x.mT,
    "one_hot": lambda x: F.one_hot(x.argmax(-1), 8).float() @ x.mT,
    "double and back": lambda x: (x.double() @ x.double().mT).float() @ x,
    "a constant": lambda x: x @ torch.arange(8, dtype=torch.float32),
    "list": lambda x: torch.cat(x.softmax(-1, dtype=torch.float32).split(2, -1), -1) @ x.mT,
    "pair": lambda x: (x > 0).float().max(-1, keepdim=True).values * x @ x.mT,
}


@pytest.mark.parametrize("name", FLOAT32)
def test_models_that_name_float32(name: str) -> None:
    """The reference runs them in float64 all the same."""
    exported = fx2caffe.export(Function(FLOAT32[name]), X)
    report = exported.verify()
    assert report.ok, str(report)


H, D = torch.float16, torch.float64
OUTSIDE = torch.randn(8, 8, generator=torch.Generator().manual_seed(7))
# Each names the precision that the inputs had: the function, and that precision.
NAMED: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], torch.dtype]] = {
    "half": (lambda x, w: x.half() @ w, H),
    "half of integers": (lambda x, w: (x > 0).half() @ w, H),
    "to": (lambda x, w: torch.matmul(x.to(torch.float16), w), H),
    "to by name": (lambda x, w: torch.matmul(x.to(dtype=torch.float16), w), H),
    "type": (lambda x, w: x.type(torch.float16) @ w, H),
    "type by class": (lambda x, w: x.type(torch.HalfTensor) @ w, H),
    "type by text": (lambda x, w: x.type("torch.HalfTensor") @ w, H),
    "type_as": (lambda x, w: x.type_as(OUTSIDE.half()) @ w, H),
    "softmax": (lambda x, w: x.softmax(-1, dtype=torch.float16) @ w, H),
    "aten": (lambda x, w: torch.ops.aten._to_copy.default(x, dtype=torch.float16) @ w, H),
    "constant": (lambda x, w: x @ torch.ones(8, 8, dtype=torch.float16) @ w, H),
    "constant from outside": (lambda x, w: x @ OUTSIDE.half() @ w, H),
    "constants of both kinds": (lambda x, w: torch.cat([x @ OUTSIDE.half(), w]), H),
    "zeros_like": (lambda x, w: x @ (torch.zeros_like(w, dtype=torch.float16) + w), H),
    "written": (lambda x, w: x.half().clone().copy_(w) @ w, H),
    "bfloat16": (lambda x, w: x.bfloat16() @ w, torch.bfloat16),
    "double": (lambda x, w: x.double() @ w, D),
    "constant of doubles": (lambda x, w: x @ torch.eye(8, dtype=torch.float64).cumsum(0) @ w, D),
    "numpy": (lambda x, w: x @ torch.from_numpy(OUTSIDE.double().numpy()) @ w, D),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("mixed", [False, True], ids=["all", "one is float32"])
def test_the_replaced_precision_named_inside(name: str, mixed: bool) -> None:
    function, dtype = NAMED[name]
    x, w = X[0, 0].to(dtype), X[1, 0].to(dtype)
    exported = fx2caffe.export(Function(function), (x.float() if mixed else x, w))
    assert not fx2caffe.check(Function(function), (x, w))
    report = exported.verify()
    assert report.ok, str(report)
    wanted = function(x, w).double()
    got = exported.reference(exported.example_inputs)[exported.net.outputs[0]].double()
    assert float((got - wanted).abs().max()) <= 0.05 * float(wanted.abs().max())


def test_weights_of_the_replaced_precision() -> None:
    class Cast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 4).half()

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x.half())

    model = Cast()
    assert fx2caffe.export(model, X).verify().ok
    assert model.linear.weight.dtype is torch.float16


def test_a_precision_that_nothing_had_still_rounds() -> None:
    for x in (X, X.double()):
        with pytest.raises(fx2caffe.UnsupportedError, match=r"precision of float32, .*float16"):
            fx2caffe.export(Function(lambda x: x.half() + 1), x)


OFFSET = torch.tensor(1e8, dtype=torch.float64)
NEEDS_FLOAT64: dict[str, Callable[[Tensor], Tensor]] = {
    "cancelled": lambda x: ((x.double() + 1e8) - 1e8).float(),
    "by a constant": lambda x: (x * OFFSET[None] + OFFSET - x * OFFSET[None] - OFFSET + x).float(),
    "a remainder": lambda x: ((x.double() * 1e8).long() % 7).float(),
    "a comparison": lambda x: x.double() + 1e9 > 1e9,
    "a period": lambda x: torch.sin(x.double() * 1e7).float(),
    "a difference of squares": lambda x: ((x.double() + 1e4) ** 2).mean(1) - 1e8,
}
CONTENT_WITH_FLOAT32: dict[str, Callable[[Tensor], Tensor]] = {
    "a mean": lambda x: x.double().mean(1).float(),
    "a variance": lambda x: x.double().var(1),
    "a softmax": lambda x: x.softmax(1, dtype=torch.float64).float(),
    "a running sum": lambda x: x.cumsum(1, dtype=torch.float64).float(),
    "a constant": lambda x: x * torch.linspace(0, 1, 8, dtype=torch.float64),
}


@pytest.mark.parametrize("name", NEEDS_FLOAT64)
def test_what_float32_is_not_enough_for_is_refused(name: str) -> None:
    with pytest.raises(fx2caffe.UnsupportedError, match="is computed in float64, and Caffe"):
        fx2caffe.export(Function(NEEDS_FLOAT64[name]), X)


@pytest.mark.parametrize("name", CONTENT_WITH_FLOAT32)
def test_what_float32_is_enough_for_is_exported(name: str) -> None:
    assert fx2caffe.export(Function(CONTENT_WITH_FLOAT32[name]), X).verify().ok
