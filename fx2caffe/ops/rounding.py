"""floor, ceil, round, trunc and frac, exact for every float32.

Up to 2^23 a float32 may have a fraction, and x + 1.5 * 2^23 - 1.5 * 2^23 rounds it away only up to
2^22. So x is first split into an even integer and a rest of at most 1 (two layers that do not
change values of 2^23 and more, or leave an integer rest), and the rest is rounded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from caffe2fx.layers import Power
from fx2caffe.ir.binary import PRODUCT
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.blocks import above, affine, combined, inside, negated, rounded


class Split(NamedTuple):
    """Holds x = coarse + rest, all exact; `near` is the integer nearest to `rest`."""

    coarse: Symbol
    rest: Symbol
    near: Symbol


def split(net: Emitter, input: Symbol) -> Split:
    """Split each element into an even integer and a rest of at most 1."""
    coarse = rounded(net, input, unit=2, suffix="coarse")
    rest = combined(net, [(1, input), (-1, coarse)], suffix="remainder")
    return Split(coarse, rest, rounded(net, rest, suffix="near"))


class Ratio(NamedTuple):
    """Holds a quotient of integers, which is rounded exactly where a caller asks for that."""

    floor: Callable[[], Any]
    ceil: Callable[[], Any]
    trunc: Callable[[], Any]


def _exactly(net: Emitter, input: Symbol, mode: str) -> Symbol | None:
    """Return the rounded quotient where the input is one of integers, else None."""
    ratio = net.annotations.get(input.value)
    return getattr(ratio, mode)() if isinstance(ratio, Ratio) else None


def is_whole(input: Symbol) -> bool:
    """Return whether torch's dtype is an integer or mask dtype."""
    return not input.dtype.is_floating_point


@handles(torch.round)
def round(net: Emitter, input: Symbol, *, decimals: int = 0) -> Symbol:
    """Round to the nearest integer, ties to even."""
    if decimals < -2:
        raise Refused(f"needs decimals of -2 or more, which keep halves exact, got {decimals}")
    if decimals:
        scaled = affine(net, input, 10.0**decimals, suffix="scaled")
        return affine(net, inside(net, "round", round, scaled), 10.0**-decimals)
    if is_whole(input):
        return net.add(Power(), input)
    parts = split(net, input)
    return combined(net, [(1, parts.coarse), (1, parts.near)])


@handles(torch.floor)
def floor(net: Emitter, input: Symbol) -> Symbol:
    """Compute the floor: the rounded value, minus 1 where it was rounded up."""
    if (found := _exactly(net, input, "floor")) is not None:
        return found
    if is_whole(input):
        return net.add(Power(), input)
    parts = split(net, input)
    rise = combined(net, [(1, parts.near), (-1, parts.rest)], suffix="difference")
    return combined(
        net, [(1, parts.coarse), (1, parts.near), (-1, above(net, rise, 0, suffix="is_above"))]
    )


@handles(torch.ceil)
def ceil(net: Emitter, input: Symbol) -> Symbol:
    """Compute the ceiling: the rounded value, plus 1 where it was rounded down."""
    if (found := _exactly(net, input, "ceil")) is not None:
        return found
    if is_whole(input):
        return net.add(Power(), input)
    parts = split(net, input)
    fall = combined(net, [(1, parts.rest), (-1, parts.near)], suffix="difference")
    return combined(
        net, [(1, parts.coarse), (1, parts.near), (1, above(net, fall, 0, suffix="is_below"))]
    )


@handles(torch.trunc)
def trunc(net: Emitter, input: Symbol) -> Symbol:
    """Truncate towards 0: the rounded value, corrected by 1 where it was rounded away from 0.

    That is where x and the rise (near - rest) have the same sign; sign(x) is then subtracted.
    """
    if (found := _exactly(net, input, "trunc")) is not None:
        return found
    if is_whole(input):
        return net.add(Power(), input)
    parts = split(net, input)
    rise = combined(net, [(1, parts.near), (-1, parts.rest)], suffix="difference")
    away = above(net, net.add(PRODUCT, rise, input, suffix="outward"), 0, suffix="is_outward")
    taken = net.add(PRODUCT, away, rise, suffix="masked")
    up = above(net, taken, 0, suffix="is_positive")
    down = above(net, negated(net, taken, suffix="negative"), 0, suffix="is_negative")
    return combined(net, [(1, parts.coarse), (1, parts.near), (-1, up), (1, down)])


@handles(torch.frac)
def frac(net: Emitter, input: Symbol) -> Symbol:
    """Compute x - trunc(x), which is exact."""
    return combined(net, [(1, input), (-1, inside(net, "trunc", trunc, input))])
