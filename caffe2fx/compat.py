"""Functions that some supported versions of torch and Python lack, and their substitutes there.

Each fallback states the first version that needs it no longer.
"""

from __future__ import annotations

import sys
from _lsprof import Profiler
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache, wraps
from threading import Lock
from typing import Any, NamedTuple

import torch
from torch import Tensor, UntypedStorage, fx
from torch.overrides import TorchFunctionMode, handle_torch_function
from torch.utils._device import DeviceContext, _device_constructors

OLDEST = "2.2"  # of torch; setup.cfg asks for the same


class Later(NamedTuple):
    """Names a function that torch has from version `since` on; `function` is None before."""

    path: str
    since: str
    function: Callable[..., Any] | None


def _later(path: str, since: str) -> Later:
    found: Any = torch
    for name in path.split(".")[1:]:
        found = getattr(found, name, None)
    return Later(path, since, found)


def function_of(target: Any) -> Any:
    """Return a function or a class as it is, that of a Later; None where this torch has none."""
    return target.function if isinstance(target, Later) else target


CHUNK_CAT = _later("torch._chunk_cat", "2.3")
FLASH_ATTENTION = _later("torch._scaled_dot_product_flash_attention_for_cpu", "2.3")
IS_COMPILING = _later("torch.compiler.is_compiling", "2.3")
LP_POOL3D = _later("torch.nn.functional.lp_pool3d", "2.3")
RESIZABLE = _later("torch.UntypedStorage.resizable", "2.3")
RMS_NORM = _later("torch.nn.functional.rms_norm", "2.4")
RRELU_WITH_NOISE = _later("torch.ops.aten.rrelu_with_noise_functional.default", "2.6")
SAFE_SOFTMAX = _later("torch._safe_softmax", "2.5")
UNSAFE_MASKED_INDEX = _later("torch._unsafe_masked_index", "2.5")

LATER = tuple(value for value in dict(globals()).values() if isinstance(value, Later))

# The flags behind torch's guards for exporters: none before 2.3, both since 2.7.
EXPORT_FLAGS = tuple(
    name for name in ("_is_exporting_flag", "_is_compiling_flag") if hasattr(torch.compiler, name)
)

# torch.compile before 2.3 does not look into a Later.
_IS_COMPILING: Callable[[], bool] = IS_COMPILING.function or vars(torch._utils)["is_compiling"]

_MORE_THAN_ANY_MEMORY = 1 << 62  # bytes


def is_compiling() -> bool:
    """Return whether torch compiles or exports now; before 2.3 a private function states it."""
    return bool(_IS_COMPILING())


def is_autocast_enabled(device: str) -> bool:
    """Return whether operations on a device are cast; before 2.4 each device had its function."""
    try:
        return torch.is_autocast_enabled(device)
    except TypeError:
        if device == "cpu":
            return torch.is_autocast_cpu_enabled()
        return torch.is_autocast_enabled()


def is_resizable(storage: UntypedStorage) -> bool:
    """Return whether torch allocated a storage itself; before 2.3 only resizing it shows that.

    Memory of another program is refused before the size is looked at; torch's own stays as it
    is, since there is no memory of the size that is asked for.
    """
    if RESIZABLE.function is not None:
        return bool(RESIZABLE.function(storage))
    if storage.device.type != "cpu":
        return True
    try:
        storage.resize_(_MORE_THAN_ANY_MEMORY)
    except RuntimeError as error:
        return "not resizable" not in str(error)
    return True


def graph_of(interpreter: fx.Interpreter) -> fx.Graph:
    """Return the graph that an interpreter runs; before 2.3 it did not keep it."""
    module: Any = interpreter.module
    graph: fx.Graph = getattr(interpreter, "graph", module.graph)
    return graph


def placeholders(graph: fx.Graph) -> list[fx.Node]:
    """Return the inputs of a graph in order; before 2.4 it had no index of them."""
    if hasattr(graph, "find_nodes"):
        return list(graph.find_nodes(op="placeholder"))
    return [node for node in graph.nodes if node.op == "placeholder"]


def set_version(tensor: Tensor, count: int) -> None:
    """Let a tensor count as written so often; before 2.7 torch took one tensor and its count."""
    write: Any = torch._C._autograd._unsafe_set_version_counter
    try:
        write((tensor,), (count,))
    except TypeError:
        write(tensor, count)


def set_profile(before: Any) -> None:
    """Set what sys.getprofile returned; before Python 3.12 that may be a cProfile.Profile."""
    if isinstance(before, Profiler):
        before.enable()
    else:
        sys.setprofile(before)


class _Cpu(DeviceContext):
    """Is torch.device("cpu"), which the functions that take a device are called with."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _TAKE_NO_DEVICE:
            return func(*args, **(kwargs or {}))
        return super().__torch_function__(func, types, args, kwargs)  # type: ignore[no-untyped-call]


_TAKE_NO_DEVICE = (torch.fill, torch.vander)


def cpu() -> AbstractContextManager[Any]:
    """Make tensors on the CPU in this block.

    In 2.2 and 2.3 torch.fill and torch.vander are given a device there, which they do not take.
    """
    if torch.fill in _device_constructors():
        return _Cpu("cpu")
    return torch.device("cpu")


_TENSOR: Any = Tensor
_GETITEM, _SETITEM = Tensor.__getitem__, Tensor.__setitem__
_LOCK = Lock()
_seeing = 0  # threads that see indexing now


@wraps(_GETITEM)  # C hands it to the next mode
def _getitem(self: Tensor, index: Any) -> Any:
    if torch._C._is_torch_function_mode_enabled():
        return handle_torch_function(_GETITEM, (self,), self, index)
    return _GETITEM(self, index)


@wraps(_SETITEM)
def _setitem(self: Tensor, index: Any, value: Any) -> None:
    if torch._C._is_torch_function_mode_enabled():
        handle_torch_function(_SETITEM, (self, value), self, index, value)
    else:
        _SETITEM(self, index, value)


class _Seen(TorchFunctionMode):
    """Counts the functions that are called in a block."""

    count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


@cache
def shows_indexing() -> bool:
    """Return whether modes see x[0] and x[x > 0]; in 2.2 and 2.3 they do not."""
    value = torch.zeros(1)
    with _Seen() as seen:
        value[0]
    return bool(seen.count)


@contextmanager
def indexing_shown() -> Iterator[None]:
    """Let modes see indexing in this block, which changes nothing for threads without one."""
    global _seeing
    if shows_indexing():
        yield
        return
    with _LOCK:
        _seeing += 1
        _TENSOR.__getitem__, _TENSOR.__setitem__ = _getitem, _setitem
    try:
        yield
    finally:
        with _LOCK:
            _seeing -= 1
            if not _seeing:
                del _TENSOR.__getitem__, _TENSOR.__setitem__  # torch has them in the class above
