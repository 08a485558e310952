"""Small models, each with something that a tracer can get silently wrong: the lists of them."""

# Forwards are written as users write them: in-place, through views, with asserts and threads.
# Every function takes x and y, both (3, 4) floats.

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

Function = Callable[..., Any]
ALLOWED: list[Function] = []
REFUSED: list[tuple[Function, str]] = []


def allowed(function: Function) -> Function:
    """Check that the tracer traces the function, rightly on other inputs than the example."""
    ALLOWED.append(function)
    return function


def allowed_since(version: str, before: str) -> Callable[[Function], Function]:
    """Check the same of a torch of that version or later, and the refusal in an older one."""
    return allowed if torch.__version__ >= version else refused(before)


def allowed_where_torch_runs_it(version: str) -> Callable[[Function], Function]:
    """Check the same of a torch of that version or later; an older one itself does not run it."""
    return allowed if torch.__version__ >= version else lambda function: function


def refused(reason: str) -> Callable[[Function], Function]:
    """Check that the tracer refuses the function in such a text, at a line of its own file."""

    def add(function: Function) -> Function:
        REFUSED.append((function, reason))
        return function

    return add
