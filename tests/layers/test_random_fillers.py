"""DummyData's random fillers: no engine can give the same values, but of the same distribution."""

from __future__ import annotations

import torch

from caffe2fx.layers import DummyData
from caffe2fx.messages.common import Filler


def filled(filler: Filler) -> torch.Tensor:
    (top,) = DummyData(shape=((100, 1000),), data_filler=(filler,)).compute([], [], 1)
    return top


def test_gaussian() -> None:
    top = filled(Filler(type="gaussian", mean=3, std=0.5))
    assert abs(float(top.mean()) - 3) < 0.01
    assert abs(float(top.std()) - 0.5) < 0.01


def test_uniform() -> None:
    top = filled(Filler(type="uniform", min=-2, max=4))
    assert -2 <= float(top.min()) < -1.99
    assert 3.99 < float(top.max()) <= 4
