"""Checks and spreads of arguments that many handlers share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from fx2caffe.emit import Refused, Symbol


def per_axis(value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    """torch's "one number or one for each axis" as one for each axis."""
    if isinstance(value, int):
        return (value,) * axes
    return tuple(value) * axes if len(value) == 1 else tuple(value)


def constant(name: str, value: Any) -> Tensor:
    """`value` if it is known when exporting. Raises Refused if it is computed by the net."""
    if isinstance(value, Symbol):
        raise Refused(f"needs a constant {name}, got one that depends on the input")
    if not isinstance(value, Tensor):
        raise Refused(f"needs a tensor as {name}, got {type(value).__name__}")
    return value


def positive(axis: int, rank: int) -> int:
    """An axis counted from the front."""
    return axis + rank if axis < 0 else axis
