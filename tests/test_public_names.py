"""The public names: typed, no module's name, and enough for a handler of a user's own."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

import caffe2fx
import fx2caffe
from caffe2fx import layers
from fx2caffe import Emitter, LayerCall, Refused, Symbol
from tests.rows import types

WITHIN = {
    name: is_package
    for package in (fx2caffe, caffe2fx)
    for _, name, is_package in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
}
PACKAGES = [name for name, is_package in WITHIN.items() if is_package]
MODULES = {name.rpartition(".")[2] for name in WITHIN}


def functions(package: ModuleType) -> set[str]:
    return {n for n in getattr(package, "__all__", ()) if callable(getattr(package, n))}


def test_no_module_has_the_name_of_a_public_function() -> None:
    assert MODULES.isdisjoint(functions(fx2caffe) | functions(caffe2fx))


@pytest.mark.parametrize("name", PACKAGES)
def test_no_module_has_the_name_of_a_function_beside_it(name: str) -> None:
    package = importlib.import_module(name)
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert modules.isdisjoint(functions(package))


HANDLER = """
import fx2caffe
from caffe2fx import layers
from fx2caffe import Emitter, LayerCall, Refused, Symbol, reshaped, viewed
from torch import nn

class Swap(nn.Module):
    pass

@fx2caffe.register(Swap)
def swap(net: Emitter, module: Swap, input: Symbol) -> Symbol:
    if input.rank != 4:
        raise Refused(f"needs 4 axes, got {input.rank}")
    return viewed(net, input, lambda s: (s[0], s[1] * s[2], s[3]))

@fx2caffe.register_rule(layers.TanH, targets=["mychip"])
def tanh(net: Emitter, call: LayerCall[layers.TanH]) -> tuple[Symbol, ...] | None:
    return (net.add(layers.Power(), call.bottom),)
"""


@pytest.mark.sweep
def test_a_handler_of_a_users_own_is_typed(tmp_path: Path) -> None:
    path = tmp_path / "handler.py"
    path.write_text(HANDLER)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        "--follow-imports=silent",
        str(path),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


class Squash(nn.Module):
    """Computes a tanh of one bottom."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x)


def tanh_by_sigmoid(net: Emitter, call: LayerCall[layers.TanH]) -> tuple[Symbol, ...] | None:
    """Rewrite tanh(x) = 2 sigmoid(2 x) - 1, of images alone."""
    if call.bottom.rank == 1:
        return None
    if call.bottom.rank != 4:
        raise Refused(f"needs 4 axes, got {call.bottom.rank}")
    inner = net.add(layers.Power(scale=2), call.bottom, suffix="twice")
    sigmoid = net.add(layers.Sigmoid(), inner, suffix="sigmoid")
    return (net.add(layers.Power(scale=2, shift=-1), sigmoid),)


def test_a_rule_of_a_users_own() -> None:
    chip = fx2caffe.targets.PORTABLE.derived("mychip", remove=["TanH"])
    other = fx2caffe.targets.PORTABLE.derived("another", remove=["TanH"])
    images, rows = torch.randn(1, 2, 3, 4), torch.randn(1, 4)
    fx2caffe.register_rule(layers.TanH, targets=["mychip"])(tanh_by_sigmoid)
    try:
        net = fx2caffe.export(Squash(), images, target=chip)
        assert types(net.net) == ("Power", "Sigmoid", "Power") and net.verify().ok
        assert net.origins["tanh"].rules[-1].endswith(".tanh_by_sigmoid")
        (refusal,) = fx2caffe.check(Squash(), rows, target=chip)
        assert "needs 4 axes, got 2" in str(refusal)
        (refusal,) = fx2caffe.check(Squash(), images, target=other)
        assert refusal.op == "TanH"
    finally:
        fx2caffe.unregister_rule(tanh_by_sigmoid)
    (refusal,) = fx2caffe.check(Squash(), images, target=chip)
    assert refusal.op == "TanH"
