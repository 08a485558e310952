"""LeafCall: the forward of a leaf module in the form of a torch function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Function = Callable[..., Any]


class LeafCall:
    """A leaf module's forward in the shape of a torch function."""

    def __init__(self, path: str, forward: Function) -> None:
        self.path, self.forward = path, forward
        self.__name__ = path or "model"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)
