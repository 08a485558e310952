"""Writes at indices that the net computes: a one-hot matrix selects the values."""

from __future__ import annotations

from math import prod
from typing import Any

import torch

from fx2caffe.ir.binary import PRODUCT
from fx2caffe.ir.constants import as_symbol
from fx2caffe.ir.data_movement import rearrange
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.reduce import ReduceOp
from fx2caffe.ir.reshape import reshaped, viewed
from fx2caffe.ir.symbol import Operand, Symbol
from fx2caffe.ops.blocks import (
    above,
    combined,
    difference,
    inside,
    opposite,
    product,
    times,
)
from fx2caffe.ops.index_map import expanded
from fx2caffe.ops.lookup import one_hot_of
from fx2caffe.ops.matmul import product as matrix_product
from fx2caffe.ops.reduction import reduced

Parts = tuple[Any, ...]


def region_of(parts: Parts) -> tuple[Parts, int] | None:
    """Return the index of all that may be written, and its axis that is indexed by the net.

    Returns None for anything but ints, slices and one computed 1-D index.
    """
    computed = [part for part in parts if isinstance(part, Symbol)]
    others = [part for part in parts if not isinstance(part, Symbol)]
    if len(computed) != 1 or computed[0].rank != 1 or computed[0].dtype is torch.bool:
        return None
    if any(not isinstance(part, int | slice) or isinstance(part, bool) for part in others):
        return None
    first = next(index for index, part in enumerate(parts) if isinstance(part, Symbol))
    axis = sum(isinstance(part, slice) for part in parts[:first])
    return (*parts[:first], slice(None), *parts[first + 1 :]), axis


def written_region(
    net: Emitter, base: Symbol, region: Parts, axis: int, positions: Symbol, value: Operand
) -> Symbol:
    """Return a region of `base` with `value` at computed indices; the last duplicate wins.

    The indices count from the front.
    """
    old = rearrange(net, base, lambda x: x[region])
    size = old.static_size(axis)
    chosen = _chosen(net, positions, size)
    shapes = (
        tuple(positions.shape[0] if a == axis else n for a, n in enumerate(shape))
        for shape in (old.shape, old.other_shape)
    )
    new = inside(net, "value", expanded, as_symbol(net, value, "value"), *shapes)
    rows = rearrange(net, new, lambda x: x.movedim(axis, -1))
    flat = viewed(net, rows, lambda s: (prod(s[:-1]), s[-1]), suffix="rows")
    lines = rearrange(net, old, lambda x: x.movedim(axis, -1))
    spread = inside(net, "spread", matrix_product, flat, chosen)
    spread = reshaped(net, spread, lines.shape, lines.other_shape, suffix="lines")
    kept = inside(net, "kept", _elsewhere, lines, chosen)
    whole = combined(net, [(1, kept), (1, spread)], suffix="written")
    return rearrange(net, whole, lambda x: x.movedim(-1, axis))


def _elsewhere(net: Emitter, lines: Symbol, chosen: Symbol) -> Symbol:
    """Return the rows with 0 where an element is written."""
    hit = reduced(net, ReduceOp.MAX, chosen, 0, suffix="is_selected")
    return product(net, lines, opposite(net, hit, suffix="unselected"))


def _chosen(net: Emitter, positions: Symbol, size: int) -> Symbol:
    """Return (positions, size): 1 where a position is the last one that equals the column."""
    return latest(net, one_hot_of(net, positions, size, "marks"))


def latest(net: Emitter, marks: Symbol) -> Symbol:
    """Return a one-hot matrix without the rows that a later one repeats; torch keeps the last.

    The rows are the axis before the last.
    """
    order = torch.arange(1.0, marks.shape[-2] + 1)[:, None]
    ranks = times(net, marks, order, suffix="ranks")
    last = reduced(net, ReduceOp.MAX, ranks, -2, keepdim=True, suffix="last")
    earlier = above(net, difference(net, last, ranks, "behind"), 0.5, "earlier")
    return net.add(PRODUCT, marks, opposite(net, earlier, "latest"))
