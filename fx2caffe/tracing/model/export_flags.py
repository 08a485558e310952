"""The flags by which torch's own code sees an export, set while a model is traced."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from caffe2fx import compat

_FLAGS = compat.EXPORT_FLAGS  # as torch.export sets them


class _InThisThread:
    """Is a flag that is true in one thread until it is let go; else it is as before."""

    def __init__(self, before: object) -> None:
        self._before = before
        self._thread: int | None = threading.get_ident()

    def __bool__(self) -> bool:
        return threading.get_ident() == self._thread or bool(self._before)

    def __eq__(self, other: object) -> bool:
        return bool(self) == other

    def __or__(self, other: Any) -> Any:
        return bool(self) | other

    def __and__(self, other: Any) -> Any:
        return bool(self) & other

    def __xor__(self, other: Any) -> Any:
        return bool(self) ^ other

    def __int__(self) -> int:
        return int(bool(self))

    def __hash__(self) -> int:
        return hash(bool(self))

    __ror__, __rand__, __rxor__, __index__ = __or__, __and__, __xor__, __int__

    def __repr__(self) -> str:
        return repr(bool(self))

    def let_go(self, name: str) -> None:
        """Put the previous flags back, unless another export has put its own there since."""
        self._thread = None
        if getattr(torch.compiler, name) is self:
            setattr(torch.compiler, name, self._before)


@contextmanager
def exporting() -> Iterator[None]:
    """Within this block, make torch.compiler.is_exporting() and is_compiling() true in this thread.

    Libraries ask them before they read data or choose a shape by it, as torch.export wants it.
    """
    flags = {name: _InThisThread(getattr(torch.compiler, name)) for name in _FLAGS}
    for name, flag in flags.items():
        setattr(torch.compiler, name, flag)
    try:
        yield
    finally:
        for name, flag in flags.items():
            flag.let_go(name)
