"""Classes with a `__torch_function__` of their own, which torch asks in place of its functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def overridden(types: Sequence[type]) -> bool:
    """Return whether one of the classes overrides torch functions, and is not doing so now."""
    return torch._C._is_torch_function_enabled() and not all(map(_is_plain, types))


def _function_of(kind: Any) -> Any:
    found = kind.__torch_function__
    return getattr(found, "__func__", found)


_OF_TORCH = (_function_of(Tensor), torch._C._disabled_torch_function_impl)


def _is_plain(kind: type) -> bool:
    return _function_of(kind) in _OF_TORCH


def by_classes(
    func: Callable[..., Any],
    types: Sequence[Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Return the result of the first class that does not decline, in torch's order.

    Raises TypeError, as torch does, where all decline.
    """
    for kind in types:
        result = kind.__torch_function__(func, types, args, kwargs)
        if result is not NotImplemented:
            return result
    raise TypeError(f"no implementation of {func} for {', '.join(k.__name__ for k in types)}")
