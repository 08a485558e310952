"""Arguments that torch's functions do not pass on to whoever overrides them.

`F.l1_loss(x, y, weight=w)` calls `handle_torch_function` without its weight, so that torch itself
ignores the weight under any mode. What it was called with stands in its running frame alone.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F

DROPPED: Mapping[Callable[..., Any], str] = MappingProxyType({F.l1_loss: "weight"})


def completed(function: Callable[..., Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of a call to a mode with the one that torch drops of it.

    It stays dropped where modes of others follow, since torch drops it on the way to them.
    """
    name = DROPPED.get(function)
    if name is None or name in kwargs or torch._C._len_torch_function_stack():
        return kwargs
    given = _local(function, name)
    return kwargs if given is None else {**kwargs, name: given}


def drops(function: Callable[..., Any], kwargs: dict[str, Any]) -> bool:
    """Return whether a call has an argument that is lost if it is called under a mode."""
    return DROPPED.get(function) in kwargs


def _local(function: Callable[..., Any], name: str) -> Any:
    """Return a local variable of the innermost running call of a function, None without one."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not function.__code__:
        frame = frame.f_back
    return None if frame is None else frame.f_locals.get(name)
