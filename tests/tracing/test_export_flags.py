"""Libraries that ask whether they are exported take the path that reads no data."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest
import torch
from torch import Tensor

from caffe2fx.errors import CaffeError
from fx2caffe.tracing.tracer import trace

if torch.__version__ < "2.7":
    pytest.skip("torch before 2.7 tells no library that it is exported", allow_module_level=True)

from torch.compiler import is_compiling, is_exporting

X = torch.linspace(-1, 2, 8).reshape(2, 4)


def flags() -> tuple[bool, ...]:
    asked = torch.compiler.is_exporting(), torch.compiler.is_compiling(), is_exporting()
    return tuple(map(bool, (*asked, is_compiling(), torch.jit.is_tracing())))


def as_torch_export() -> tuple[bool, ...]:
    """Return the guards' values while torch.export itself runs a model."""
    seen: list[tuple[bool, ...]] = []

    class Asks(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(flags())
            return x * 2

    torch.export.export(Asks(), (X,), strict=False)
    return seen[0]


@pytest.mark.parametrize("values", ["real", "fake"])
def test_the_guards_answer_as_in_torch_export(values: Any) -> None:
    wanted = as_torch_export()

    def model(x: Tensor) -> Tensor:
        if not is_exporting():  # as it runs by itself
            return x if bool((x > 5).all()) else x * 2
        assert flags() == wanted and is_exporting() == True  # noqa: E712
        return torch.where((x > 5).all(), x, x * 2)

    traced = trace(model, X, values=values, held_to_model=values == "real")
    assert torch.where in {node.target for node in traced.module.graph.nodes}
    assert flags() == (False,) * 5 and torch.compiler._is_exporting_flag is False


def test_an_answer_is_used_like_a_bool() -> None:
    """Libraries combine it with others: `tracing |= is_exporting()`."""

    def model(x: Tensor) -> Tensor:
        reported = is_exporting()
        assert (reported | False, False | reported, reported & True, True & reported) == (True,) * 4
        assert (reported ^ True, True ^ reported, int(reported), [1, 2][reported]) == (
            False,
            False,
            1,
            2,
        )
        assert hash(reported) == hash(True) and repr(reported) == "True" and reported == True  # noqa: E712
        return x * 2

    assert trace(model, X)


def test_other_threads_do_not_see_the_flags() -> None:
    def model(x: Tensor) -> Tensor:
        found: list[tuple[bool, ...]] = []
        other = threading.Thread(target=lambda: found.append(flags()))
        other.start()
        other.join()
        assert found == [(False,) * 5]
        return x * 2

    assert trace(model, X)


def test_the_guards_are_put_back_after_an_error() -> None:
    def model(x: Tensor) -> Tensor:
        raise KeyError("x")

    with pytest.raises(CaffeError):
        trace(model, X)
    assert flags() == (False,) * 5 and torch.compiler._is_compiling_flag is False


def test_an_export_that_begins_meanwhile_keeps_its_flags() -> None:
    def model(x: Tensor) -> Tensor:
        torch.compiler._is_exporting_flag = True  # as another thread's torch.export
        return x * 2

    try:
        trace(model, X)
        assert torch.compiler._is_exporting_flag is True
    finally:
        torch.compiler._is_exporting_flag = False


def test_a_compiled_part_of_a_model_is_traced_without_a_word() -> None:
    """torch._dynamo does not compile the guard of the tracer, and warns of nothing."""
    code = """if True:
        import torch
        from torch import nn
        import fx2caffe
        part = torch.compile(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()), backend="eager")
        net = fx2caffe.export(nn.Sequential(part, nn.Tanh()).eval(), torch.randn(1, 3, 4, 4))
        assert [step.layer.type for step in net.net.steps] == [
            "Input", "Convolution", "ReLU", "TanH"]"""
    of_python = "ignore:Guards may run slower:RuntimeWarning"  # of Python 3.13.0 alone
    command = [sys.executable, "-W", of_python, "-c", code]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0 and "_dynamo" not in ran.stderr, ran.stderr
