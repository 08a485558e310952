"""Folding is exact, never touches the model, and follows dataflow rather than order."""

from __future__ import annotations

import torch
from torch import nn

import fx2caffe
from caffe2fx.verdict.reference.calibrate import calibrate
from tests.rows import types


def test_folded_weights_are_those_of_float64() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, eps=1e-3))
    calibrate(model, [torch.randn(4, 3, 8, 8)])
    conv, norm = model[0], model[1]
    factor = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    weight = conv.weight.double() * factor.reshape(-1, 1, 1, 1)
    bias = (conv.bias.double() - norm.running_mean.double()) * factor + norm.bias.double()
    blobs = fx2caffe.export(model, torch.randn(1, 3, 8, 8)).net.steps[1].blobs
    for mine, wanted in zip(blobs, (weight, bias), strict=True):
        # rsqrt and one division more or less: the last bit of float32 at most.
        torch.testing.assert_close(mine, wanted.float(), rtol=2e-7, atol=1e-8)


def test_the_model_is_not_changed() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    versions = {name: value._version for name, value in model.state_dict().items()}
    x = torch.randn(1, 3, 8, 8)
    exported = fx2caffe.export(model, x)
    exported.verify()
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert {name: value._version for name, value in after.items()} == versions
    assert not model.training and x._version == 0


class OrderOfDefinition(nn.Module):
    """The BatchNorm defined after a convolution does not follow it."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm_two = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.two, self.norm_one = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm_two(self.two(self.norm_one(self.one(x)).relu()))


def test_dataflow_decides() -> None:
    model = calibrate(OrderOfDefinition(), [torch.randn(4, 3, 6, 6)])
    exported = fx2caffe.export(model, torch.randn(1, 3, 6, 6))
    assert types(exported.net) == ("Convolution", "ReLU", "Convolution")
    assert exported.verify().ok
