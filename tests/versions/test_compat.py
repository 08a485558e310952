"""Substitutes for functions that an older torch does not have give the same results."""

from __future__ import annotations

import cProfile
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from caffe2fx import compat
from fx2caffe.lowering.registry import handlers
from fx2caffe.tracing.functions.torch_names import name_of
from fx2caffe.tracing.tracer import trace


@pytest.mark.parametrize("later", compat.LATER, ids=lambda later: later.path)
def test_a_function_is_there_since_the_stated_version(later: compat.Later) -> None:
    assert (later.function is not None) == (torch.__version__ >= later.since)


def test_a_function_missing_from_torch_has_no_handler() -> None:
    assert None not in handlers() and not any(isinstance(t, compat.Later) for t in handlers())


STORAGES = {
    "torch's": (torch.ones(3)[1:], True),
    "empty": (torch.empty(0), True),
    "numpy's": (torch.from_numpy(np.ones(4, np.float32)), False),
    "without memory": (torch.empty(3, device="meta"), True),
}


@pytest.mark.parametrize("name", STORAGES)
def test_who_allocated_a_storage(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tensor, wanted = STORAGES[name]
    address, before = tensor.data_ptr(), tensor.untyped_storage().nbytes()
    assert compat.is_resizable(tensor.untyped_storage()) is wanted
    monkeypatch.setattr(compat, "RESIZABLE", compat.Later("", "", None))
    assert compat.is_resizable(tensor.untyped_storage()) is wanted
    assert (tensor.data_ptr(), tensor.untyped_storage().nbytes()) == (address, before)


def test_autocast_of_each_device() -> None:
    with torch.autocast("cpu"):
        assert compat.is_autocast_enabled("cpu") and not compat.is_autocast_enabled("cuda")
    assert not compat.is_autocast_enabled("cpu")


class Names(TorchFunctionMode):
    """The names of the functions that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.names.append(func.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("shown", [True, False])
def test_modes_see_indexing(shown: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shown:
        monkeypatch.setattr(compat, "shows_indexing", lambda: False)
    value = torch.arange(4.0)
    with compat.indexing_shown():
        with compat.indexing_shown(), Names() as mode:
            part, value[1] = value[torch.tensor([0, 2])], 7.0
        outside = value[1]  # no mode: torch's own
    assert [name for name in mode.names if "item" in name] == ["__getitem__", "__setitem__"]
    assert (part.tolist(), outside.item()) == ([0.0, 2.0], 7.0)
    assert "__getitem__" not in vars(Tensor) and "__setitem__" not in vars(Tensor)


def test_a_trace_records_indexing_where_modes_do_not_see_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def model(x: Tensor) -> Tensor:
        table = torch.zeros(5)
        table[1:3] = x[0]
        return table[torch.tensor([2, 1])] * x[1]

    wanted = [node.name for node in trace(model, torch.ones(2, 2)).module.graph.nodes]
    monkeypatch.setattr(compat, "shows_indexing", lambda: False)
    found = [node.name for node in trace(model, torch.ones(2, 2)).module.graph.nodes]
    assert found == wanted and "getitem" in found


def test_a_tensor_counts_as_written_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = torch.zeros(2).add_(1).add_(1)
    compat.set_version(tensor, 1)
    assert tensor._version == 1
    monkeypatch.setattr(torch._C._autograd, "_unsafe_set_version_counter", _of_one_tensor)
    compat.set_version(tensor, 5)


def _of_one_tensor(tensor: Tensor, count: int) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError("arg0")
    assert count == 5


def test_inputs_of_a_graph_in_order() -> None:
    graph = trace(lambda x, y: x + y, (torch.ones(2), torch.ones(2))).module.graph
    assert [node.name for node in compat.placeholders(graph)] == ["x", "y"]
    assert [node.name for node in compat.placeholders(_Unindexed(graph.nodes))] == ["x", "y"]


def test_substitutes_have_the_names_that_they_stand_for() -> None:
    """Where one mode calls it in another, C looks the function up by its name."""
    assert name_of(compat._getitem) == ("Tensor", "__getitem__")
    assert name_of(compat._setitem) == ("Tensor", "__setitem__")


def test_a_profiler_goes_on_after_another_function_was_set() -> None:
    profile = cProfile.Profile()
    profile.enable()
    before = sys.getprofile()
    sys.setprofile(lambda *_: None)
    compat.set_profile(before)
    test_autocast_of_each_device()
    profile.disable()
    assert any("is_autocast_enabled" in str(entry.code) for entry in profile.getstats())
    compat.set_profile(None)
    assert sys.getprofile() is None


class _Unindexed(NamedTuple):
    """A graph of torch before 2.4."""

    nodes: Any


def test_functions_without_a_device_run_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "_device_constructors", lambda: {torch.fill})
    with compat.cpu():
        assert torch.fill(torch.zeros(2), 3.0).tolist() == [3.0, 3.0]
        assert torch.vander(torch.tensor([2.0])).tolist() == [[1.0]]
        assert torch.ones(2).device.type == "cpu"
