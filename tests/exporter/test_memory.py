"""What an export made goes with it: many exports in one process take no more memory than one."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, fx, nn

import caffe2fx
import fx2caffe
from caffe2fx.layers import Power

X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(4))


class Doubled(nn.Module):
    """A leaf of the user's own."""

    def forward(self, x: Tensor) -> Tensor:
        """Twice the numbers."""
        return x * 2


@pytest.fixture
def doubled() -> Iterator[None]:
    """Doubled is one layer."""
    fx2caffe.register(Doubled)(lambda net, module, x: net.add(Power(scale=2.0), x))
    yield
    fx2caffe.unregister(Doubled)


def own() -> nn.Module:
    """Modules of torch's and one of the user's."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), Doubled())


def loaded(directory: Path) -> nn.Module:
    """A net of Caffe's in torch: its layers are leaves of a trace."""
    files = directory / "m.prototxt", directory / "m.caffemodel"
    fx2caffe.export(own(), X).save(*files)
    return caffe2fx.load(*files)


def alive() -> int:
    """How many nodes of graphs and parameters of models there are."""
    gc.collect()
    return sum(issubclass(type(thing), (fx.Node, nn.Parameter)) for thing in gc.get_objects())


@pytest.mark.usefixtures("doubled")
@pytest.mark.parametrize("origin", ["own", "loaded"])
def test_nothing_is_kept(tmp_path: Path, origin: str) -> None:
    before = alive()
    model = own() if origin == "own" else loaded(tmp_path)
    assert fx2caffe.export(model, X).verify().ok
    assert alive() > before
    del model
    assert alive() == before
