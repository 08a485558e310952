"""All refusals of a model come at once, each with module, file, line and source text."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import RoIPool

import fx2caffe
from caffe2fx.errors import CaffeError
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Symbol
from tests.rows import Function

THIS_FILE = Path(__file__)


class Inner(nn.Module):
    """Four operations that Caffe cannot express, below the root."""

    def forward(self, x: Tensor) -> Tensor:
        a = torch.lgamma(x)
        b = torch.special.i0(x)
        c = torch.special.i1(x)
        d = torch.digamma(x)
        return a + b + c + d


class Ten(nn.Module):
    """Ten different operations without a layer; some results feed on refused ones."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Inner()

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(x)
        a = torch.fft.fft(x).tanh().real
        b = torch.linalg.svd(x)[1]
        c = torch.nextafter(x, x)
        d = torch.polygamma(1, x)
        e = torch.special.bessel_j0(x)
        f = torch.special.ndtri(x)
        return y + a + c + d + e + f + b.sum()


EXPECTED = {
    "torch.lgamma": "inner",
    "torch.special.i0": "inner",
    "torch.special.i1": "inner",
    "torch.digamma": "inner",
    "torch.tanh": "",
    "torch.linalg.svd": "",
    "torch.nextafter": "",
    "torch.polygamma": "",
    "torch.special.bessel_j0": "",
    "torch.special.ndtri": "",
}


def test_ten_refusals_in_one_error() -> None:
    with pytest.raises(fx2caffe.UnsupportedError) as caught:
        fx2caffe.export(Ten().eval(), torch.randn(1, 2, 4, 4))
    found = {refusal.op: refusal for refusal in caught.value.refusals}
    assert {op: refusal.origin.module for op, refusal in found.items()} == EXPECTED
    lines = THIS_FILE.read_text().splitlines()
    for op, refusal in found.items():
        assert refusal.origin.file == str(THIS_FILE)
        assert refusal.origin.source == lines[refusal.origin.line - 1].strip()
        assert op.rpartition(".")[2] in refusal.origin.source
        assert f"{THIS_FILE}:{refusal.origin.line}" in str(caught.value)


def test_check_lists_the_same_and_raises_nothing() -> None:
    refusals = fx2caffe.check(Ten().eval(), torch.randn(1, 2, 4, 4))
    assert {refusal.op for refusal in refusals} == set(EXPECTED)
    assert fx2caffe.check(nn.Conv2d(2, 3, 3), torch.randn(1, 2, 4, 4)) == ()


def test_check_names_the_layer_that_the_target_does_not_have() -> None:
    model, x = Function(lambda x: x.argmax(1, keepdim=True).float()), torch.randn(1, 3, 5, 5)
    assert fx2caffe.check(model, x, target="bvlc") == ()
    (refusal,) = fx2caffe.check(model, x, target="nnie")
    assert refusal.op == "ArgMax"
    assert "needs layer ArgMax, which target 'nnie' does not have" in refusal.reason
    assert "bvlc" in refusal.targets and "nnie" not in refusal.targets
    with pytest.raises(CaffeError, match="target needs to be one of bvlc"):
        fx2caffe.check(model, x, target="caffe3")


def test_the_error_states_the_reason() -> None:
    why = {refusal.op: refusal.reason for refusal in fx2caffe.check(Ten(), torch.randn(1, 2, 4, 4))}
    assert why["torch.linalg.svd"].startswith("needs a matrix factorization")
    assert why["torch.tanh"].startswith("needs real numbers, got complex ones")
    assert why["torch.nextafter"].startswith("needs the bits")


class OtherSample(nn.Module):
    """Regions of a sample that the images do not have: torchvision reads out of bounds."""

    def forward(self, x: Tensor) -> Tensor:
        return RoIPool(2, 0.5)(x, torch.tensor([[2, 0.2, 0.2, 3.2, 3.2]]))


def test_regions_of_a_sample_that_is_not_there() -> None:
    (refusal,) = fx2caffe.check(OtherSample(), torch.randn(2, 3, 10, 12))
    assert "needs boxes of samples 0 to 1" in refusal.reason


def test_master_target_takes_round_mode() -> None:
    net = fx2caffe.export(nn.MaxPool2d(2), torch.randn(1, 1, 5, 5), target="bvlc-master").net
    assert [step.layer.type for step in net.steps] == ["Input", "Pooling"]


class Twice(nn.Module):
    """A function of the user's own, used as a leaf."""

    def forward(self, x: Tensor) -> Tensor:
        return twice(x)


def twice(x: Tensor) -> Tensor:
    """Compute a function that only its owner can express in Caffe."""
    return torch.lgamma(x) * 0 + 2 * x


def test_a_registered_function_is_a_leaf() -> None:
    from caffe2fx.layers import Power

    @fx2caffe.register(twice)
    def handler(net: Emitter, x: Symbol) -> Symbol:
        return net.add(Power(scale=2), x)

    try:
        exported = fx2caffe.export(Twice(), torch.rand(2, 3, 4, 4) + 1)
        assert [step.layer.type for step in exported.net.steps] == ["Input", "Power"]
        with pytest.raises(CaffeError, match="two handlers"):
            fx2caffe.register(twice)(handler)
    finally:
        fx2caffe.unregister(twice)
