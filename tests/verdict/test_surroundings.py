"""Settings of a user for the whole process or block change no export and no verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as global_hooks

import caffe2fx
import fx2caffe

X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@contextmanager
def default_device() -> Iterator[None]:
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def default_dtype() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def hooked() -> Iterator[None]:
    """Return a hook on every module of the process, that doubles the tensors that they give."""

    def doubled(module: nn.Module, args: Any, result: Any) -> Any:
        return result * 2 if isinstance(result, Tensor) else result

    handle = global_hooks.register_module_forward_hook(doubled)
    try:
        yield
    finally:
        handle.remove()


SURROUNDINGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "default device": default_device,
    "device": lambda: torch.device("meta"),
    "default dtype": default_dtype,
    "hook of all modules": hooked,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "inference mode": torch.inference_mode,
    "gradients": torch.enable_grad,
}


def model() -> nn.Module:
    """Return a bit of everything that makes tensors while it runs."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 5)]
    return nn.Sequential(*layers).eval()


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_verdicts(name: str, tmp_path: Path) -> None:
    exported = fx2caffe.export(model(), X)
    files = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    exported.save(*files)
    loaded = caffe2fx.load(*files)
    with SURROUNDINGS[name]():
        reports = [exported.verify(), exported.verify(batch=3), caffe2fx.compare(loaded, files, X)]
    assert all(report.ok for report in reports), [report.summary() for report in reports]


@pytest.mark.parametrize("name", sorted({*SURROUNDINGS} - {"autocast"}))
def test_exports(name: str) -> None:
    """Autocast is part of the model's function, and refused; a hook is part of it too."""
    made = model()
    with SURROUNDINGS[name]():
        exported = fx2caffe.export(made, X)
        assert fx2caffe.check(made, X) == ()
        assert exported.verify().ok
    assert (exported.prototxt == fx2caffe.export(made, X).prototxt) == ("hook" not in name)
