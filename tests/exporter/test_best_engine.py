"""The engine that is chosen for a target is one that runs its nets."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import fx2caffe
from caffe2fx.engines import best_engine, engine
from caffe2fx.errors import CaffeError
from fx2caffe.targets import TARGETS

X = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("target", ["bvlc", "ssd", "opencv", "portable"])
def test_best_is_one_that_the_target_names(target: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU6()).eval()
    report = fx2caffe.export(model, X, target=target).verify("best")
    assert report.ok, str(report)
    judges = TARGETS[target].judges
    assert report.engine == best_engine(judges) and report.engine in (*judges, "torch")


def test_the_strongest_that_is_there() -> None:
    there = [name for name in ("pycaffe", "opencv") if engine_is_there(name)]
    assert best_engine(("torch", "pycaffe", "opencv")) == next(iter(there), "torch")
    assert best_engine(("torch",)) == "torch"
    assert best_engine(("opencv",)) == ("opencv" if "opencv" in there else "torch")


def engine_is_there(name: str) -> bool:
    """Return whether an engine of that name can be had."""
    try:
        engine(name)
    except CaffeError:
        return False
    return True
