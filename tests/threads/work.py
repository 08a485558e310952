"""What each thread does, and what must be as before when all are done."""

from __future__ import annotations

import copy
import gc
import random
import tempfile
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from threading import Event, active_count
from typing import Any

import numpy as np
import sympy  # type: ignore[import-untyped] # noqa: F401 - torch imports it late; it adds a filter
import torch
from torch import Tensor, nn
from torch.nn.modules import module as global_hooks

import caffe2fx
import fx2caffe
from fx2caffe.errors import UnsupportedError


class Written(nn.Module):
    """A model that writes into a view, and into its own buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        y[:, 1:] += 1
        self.count += 1
        return y + self.count


class Attention(nn.Module):
    """A model of functions that tracing sees through."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y = x.flatten(2)
        return self.inner(y, y, y, need_weights=False)[0]


class Refused(nn.Module):
    """A model that no Caffe net is."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.svd(x)[1]


X = torch.randn(2, 3, 4, 2, generator=torch.Generator().manual_seed(3))
MODELS: dict[str, Callable[[], nn.Module]] = {
    "convolution": lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.GELU()),
    "shape": lambda: nn.Sequential(nn.Flatten(), nn.Linear(24, 5), nn.Softmax(1)),
    "written": Written,
    "attention": Attention,
    "refused": Refused,
}


def _model(name: str) -> nn.Module:
    built = MODELS[name]().eval()
    generator = torch.Generator().manual_seed(len(name))
    for parameter in built.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    return built


_BUILT = {name: _model(name) for name in MODELS}


def model(name: str) -> nn.Module:
    """Return a model of the caller's own, the same in each process; no random number is drawn."""
    return copy.deepcopy(_BUILT[name])


def all_in_one(name: str) -> str:
    """Export, verify, save, load and compare a model of its own; return the prototxt.

    Raises AssertionError for a wrong number.
    """
    own = model(name)
    if name == "refused":
        try:
            fx2caffe.export(own, X)
        except UnsupportedError as error:
            return str(error)
        raise AssertionError("svd needs to be refused")
    built = fx2caffe.export(own, X)
    report = built.verify(batch=3)
    assert report.ok, report.summary()
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "net.prototxt"), Path(folder, "net.caffemodel")
        built.save(*files)
        loaded = caffe2fx.load(*files, optimize=False)
        compared = caffe2fx.compare(loaded, files, X)
    assert compared.ok, compared.summary()
    assert fx2caffe.check(own, X) == ()
    with torch.no_grad():
        torch.testing.assert_close(loaded(X), model(name)(X), rtol=1e-4, atol=1e-4)
    return built.prototxt


def settings() -> dict[str, Any]:
    """Return what a user may have set for the process, and what exporting might leave behind."""
    return {
        "gradients": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device() if hasattr(torch, "get_default_device") else "cpu",
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "mkldnn": torch.backends.mkldnn.enabled if hasattr(torch.backends, "mkldnn") else True,
        "hooks": sum(len(v) for k, v in vars(global_hooks).items() if _is_hooks(k, v)),
        "modes": len(torch.overrides._get_current_function_mode_stack()),
        "random": torch.get_rng_state().numpy().tobytes(),
        "numpy errors": np.geterr(),
        "numpy random": np.random.get_state()[1].tobytes(),  # type: ignore[union-attr]
        "random of Python": random.getstate(),
        "warnings": list(warnings.filters),
        "methods": dict(vars(Tensor)),
        "functions": dict(vars(torch.nn.functional)),
        "call": (nn.Module.__call__, nn.Module.__getattr__, nn.Module.__setattr__),
        "compiling": {k: v for k, v in vars(torch.compiler).items() if k.endswith("_flag")},
        "collector": (gc.isenabled(), gc.get_threshold()),
    }


def _is_hooks(name: str, value: object) -> bool:
    return name.startswith("_global_") and isinstance(value, dict)


def changed(before: dict[str, Any]) -> list[str]:
    """Return the names of the settings that are no longer as before."""
    after = settings()
    return [name for name in before if before[name] != after[name]]


def search(pool: Executor, at_once: int, keep_on: Callable[[int], bool]) -> tuple[int, list[str]]:
    """Do all models so often as `keep_on` allows; return how many were done, and what was wrong."""
    names = list(MODELS)
    wanted = {name: all_in_one(name) for name in names}
    count, wrong = 0, list[str]()
    while keep_on(count) and len(wrong) < 20:
        chosen = [names[(count + i) % len(names)] for i in range(at_once * 2)]
        for name, job in [(name, pool.submit(all_in_one, name)) for name in chosen]:
            try:
                wrong += [] if job.result() == wanted[name] else [f"{name}: another net"]
            except BaseException:
                wrong.append(f"{name}: {traceback.format_exc()}")
            count += 1
    return count, wrong


def in_threads(at_once: int, keep_on: Callable[[int], bool]) -> tuple[int, list[str]]:
    """Search in threads, while another one runs a model and no one else's trace sees it."""
    before, stop, bystander = settings(), Event(), list[str]()
    with ThreadPoolExecutor(at_once + 1) as pool:
        pool.submit(_bystander, stop, bystander)
        try:
            count, wrong = search(pool, at_once, keep_on)
        finally:
            stop.set()
    left = [f"left changed: {name}" for name in changed(before)]
    if active_count() > 1 + at_once:
        left.append(f"{active_count()} threads are left")
    return count, wrong + bystander + left


def _bystander(stop: Event, wrong: list[str]) -> None:
    own = model("convolution")
    with torch.no_grad():
        wanted = own(X)
        while not stop.wait(0.002) and not wrong:
            if not own(X).equal(wanted):
                wrong.append("a model that nobody exports gives another result")
            if torch.overrides._get_current_function_mode_stack():
                wrong.append("a thread that exports nothing has a mode")
