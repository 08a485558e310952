"""The cost of an export, in counts that are the same on every machine."""

from __future__ import annotations

import cProfile
import gc
import pstats
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.overrides import _get_current_function_mode_stack

import caffe2fx
import fx2caffe
from caffe2fx.plain_torch import on_cpu, plain_torch
from fx2caffe.tracing.model.snapshot import Snapshot

X = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))


def chain(blocks: int) -> nn.Module:
    """Blocks of two layers each, one after the other, through which a signal goes unchanged."""
    parts = [part for _ in range(blocks) for part in (nn.Conv2d(4, 4, 1), nn.ReLU())]
    for part in parts[::2]:
        nn.init.dirac_(part.weight)
        nn.init.zeros_(part.bias)  # what is looked at twice depends on errors
    return nn.Sequential(*parts).eval()


def calls(body: Callable[[], object]) -> int:
    """Return how many functions `body` calls, Python's and C's.

    Those that a collection of garbage calls are left out: they belong to what ran before.
    """
    profile = cProfile.Profile()
    gc.collect()
    gc.disable()
    try:
        profile.runcall(body)
    finally:
        gc.enable()
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def stages() -> dict[str, tuple[int, int, int]]:
    """Return the calls of each stage for chains of 8, 16 and 32 layers more than a shortest."""
    counts = [_stages(chain(blocks)) for blocks in (2, 6, 14, 30)]
    first = counts[0]
    return {name: tuple(c[name] - first[name] for c in counts[1:]) for name in first}


def _stages(model: nn.Module) -> dict[str, int]:
    net = fx2caffe.export(model, X)  # found out once a process, or once a model
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "net.prototxt"), Path(folder, "net.caffemodel")
        net.save(*files)
        return {
            "export": calls(lambda: fx2caffe.export(model, X)),
            "save": calls(lambda: net.save(*files)),
            "load": calls(lambda: caffe2fx.load(*files)),
            "verify": calls(net.verify),
        }


@pytest.mark.parametrize(
    ("stage", "most"), [("export", 4500), ("save", 800), ("load", 1900), ("verify", 6000)]
)
def test_calls_grow_with_the_layers_alone(
    stages: dict[str, tuple[int, int, int]], stage: str, most: int
) -> None:
    """`most` calls a layer, however many layers there are."""
    few, more, many = stages[stage]
    assert many - more < 1.03 * 2 * (more - few)
    assert many / 56 < most


def test_a_models_objects_are_walked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    build = Snapshot.__init__

    def counted(self: Snapshot, *roots: Any) -> None:
        made.append(roots)
        build(self, *roots)

    monkeypatch.setattr(Snapshot, "__init__", counted)
    fx2caffe.export(chain(2), X)
    assert len(made) == 1


def test_an_assert_in_forward_does_not_reach_the_other_tests(
    request: pytest.FixtureRequest,
) -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        assert x.dim() == 4, x
        return x * 2

    reached = Snapshot(model)._seen
    assert id(request.session) not in reached and len(reached) < 100


@pytest.mark.parametrize("surroundings", [on_cpu, plain_torch])
def test_no_function_of_torch_is_watched_where_tensors_are_made_on_the_cpu(
    surroundings: Callable[[], Any],
) -> None:
    with surroundings():
        assert not _get_current_function_mode_stack()
    with torch.device("meta"), surroundings():
        assert torch.empty(0).device.type == "cpu"
