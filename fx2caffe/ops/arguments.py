"""Checks and normal forms of arguments that many handlers share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from fx2caffe.ir.symbol import Refused, Symbol

Sizes = int | Sequence[int]  # for all axes, or one for each


def per_axis(value: Sizes, axes: int) -> tuple[int, ...]:
    """Expand torch's "an int or one per axis" to one int per axis."""
    if isinstance(value, int):
        return (value,) * axes
    return tuple(value) * axes if len(value) == 1 else tuple(value)


def constant(name: str, value: Any) -> Tensor:
    """Return `value` if it is known at export. Raises Refused if the net computes it."""
    if isinstance(value, Symbol):
        raise Refused(f"needs a constant {name}, got one that depends on the input")
    if not isinstance(value, Tensor):
        raise Refused(f"needs a tensor as {name}, got {type(value).__name__}")
    return value


def positive(axis: int, rank: int) -> int:
    """Return an axis counted from the front."""
    return axis + rank if axis < 0 else axis


def axes_of(dim: int | Sequence[int] | None, input: Symbol) -> tuple[int, ...]:
    """Return the axes of a reduction's `dim`, ascending; None and () mean all axes.

    A scalar has no axes, though torch accepts dim 0 and -1 for it.
    """
    if dim is None or not input.rank or (not isinstance(dim, int) and len(dim) == 0):
        return tuple(range(input.rank))
    given = (dim,) if isinstance(dim, int) else dim
    return tuple(sorted(positive(axis, input.rank) for axis in given))
