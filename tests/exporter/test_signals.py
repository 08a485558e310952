"""What steers an export never leaves it: no signal, and no exception outside CaffeError."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import caffe2fx
import fx2caffe
from fx2caffe import Emitter, Symbol
from fx2caffe.errors import Signal
from tests.rows import Function, types

X = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))


def modules() -> Iterator[ModuleType]:
    for package in (fx2caffe, caffe2fx):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name.rpartition(".")[2] not in ("__main__", "worker", "pytest_plugin"):
                yield importlib.import_module(found.name)


def test_every_exception_is_a_caffe_error_a_signal_or_private_to_its_module() -> None:
    found = {
        value
        for module in modules()
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, BaseException)
        and value.__module__ == module.__name__
        and not issubclass(value, (caffe2fx.CaffeError, Warning, Signal))
    }
    assert {kind.__qualname__ for kind in found if not kind.__name__.startswith("_")} == set()
    assert not {name for name in fx2caffe.__all__ if _is_signal(getattr(fx2caffe, name))}


def _is_signal(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Signal)


def unchanged(x: Tensor) -> Tensor:
    """Return the argument; the handlers below decide what becomes of a call."""
    return x


def always(net: Emitter, x: Symbol) -> Symbol:
    net.fix_batch("needs one size, whatever it is")


def for_two_batches(net: Emitter, x: Symbol) -> Symbol:
    with suppress(Exception):
        if x.carries_batch(0):
            net.fix_batch("needs one size")
    return net.add(caffe2fx.layers.ReLU(), x)


@pytest.fixture
def handle() -> Iterator[Callable[[Callable[..., Symbol]], Any]]:
    yield lambda handler: fx2caffe.register(unchanged)(handler)
    fx2caffe.unregister(unchanged)


def test_a_handler_that_fixes_the_batch_of_every_attempt_is_a_refusal(handle: Any) -> None:
    handle(always)
    (refusal,) = fx2caffe.check(Function(unchanged), X)
    assert "needs one size" in str(refusal)
    with pytest.raises(fx2caffe.UnsupportedError, match="needs one size"):
        fx2caffe.export(Function(unchanged), X)


def test_a_handler_that_passes_over_errors_still_fixes_the_batch(handle: Any) -> None:
    handle(for_two_batches)
    exported = fx2caffe.export(Function(unchanged), X)
    assert exported.batch_is_fixed and "needs one size" in exported.batch_faults[0]


class Stubborn(nn.Module):
    """Takes whatever its part raises for a reason to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        with suppress(BaseException):
            x = self.part(x)
        return torch.tanh(x)


def test_a_model_that_goes_on_after_its_last_cut_is_cut_all_the_same() -> None:
    exported = fx2caffe.export(Stubborn(), X, outputs=["part:0"])
    assert types(exported.net) == ("ReLU",)
    assert exported.verify().ok


def stale(x: Tensor) -> Tensor:
    y = x * 2
    bits = y.view(torch.int32)
    y.mul_(3)
    with suppress(Exception):
        y = y + bits
    return y


def test_a_write_that_is_not_seen_is_a_refusal_whatever_the_model_passes_over() -> None:
    with pytest.raises(fx2caffe.UnsupportedError, match="another dtype"):
        fx2caffe.export(Function(stale), X)
