"""Rows of functions that take indices: a short way to write one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.rows import Row, Shape, function

LINES = ((2, 5, 7),)
TABLE = torch.linspace(-1, 1, 24).reshape(6, 4).sin()
IDS = ((2, 5),)


def pick(id: str, body: Callable[..., Any], shapes: tuple[Shape, ...] = LINES, **more: Any) -> Row:
    return Row(id, function(body), shapes, **more)
