"""Writes at indices of several axes that the net computes: rows of a table of those axes."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from caffe2fx.messages.message import Shape
from fx2caffe.ir.constants import as_float32, as_symbol
from fx2caffe.ir.data_movement import rearrange
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.reshape import reshaped, viewed
from fx2caffe.ir.symbol import Symbol
from fx2caffe.ops.blocks import inside
from fx2caffe.ops.index_map import expanded
from fx2caffe.ops.indexing import IndexParts, flat_index_of, wrapped

Write = Callable[[Emitter, Symbol, Symbol, Symbol], Symbol]


def written_rows(net: Emitter, base: Symbol, index: IndexParts, value: Any, write: Write) -> Symbol:
    """Return base[index.basic] after `write`, which is given a table, indices of rows, and rows.

    The table has the indexed axes as one, in front of the others.
    """
    cut = rearrange(net, base, lambda x: x[index.basic])
    axes, count = index.axes, len(index.axes)
    order = [*axes, *(axis for axis in range(cut.rank) if axis not in axes)]
    sizes = [cut.static_size(axis) for axis in axes]
    pairs = zip(index.tensors, sizes, strict=True)
    flat = flat_index_of(net, [wrapped(net, one, size) for (_, one), size in pairs], sizes)
    front = rearrange(net, cut, lambda x: x.permute(order))
    table = viewed(net, front, lambda s: (prod(s[:count]), *s[count:]), suffix="table")
    line = viewed(net, flat, lambda s: (prod(s),), suffix="indices")
    rows = _rows(net, value, index.first_axis, flat, table)
    whole = inside(net, "rows", write, table, line, rows)
    spread = reshaped(net, whole, front.shape, front.other_shape, suffix="axes")
    return rearrange(net, spread, lambda x: x.permute([order.index(a) for a in range(x.dim())]))


def _rows(net: Emitter, value: Any, first: int, flat: Symbol, table: Symbol) -> Symbol:
    """Expand a value to what is written, and return it as a row for each index."""

    def shape(of_index: Shape, of_table: Shape) -> Shape:
        others = of_table[1:]
        return (*others[:first], *of_index, *others[first:])

    shapes = shape(flat.shape, table.shape), shape(flat.other_shape, table.other_shape)
    new = value if isinstance(value, Symbol) else as_symbol(net, as_float32(value), "value")
    new = inside(net, "value", expanded, new, *shapes)
    many = flat.rank
    ahead = rearrange(
        net, new, lambda x: x.movedim(tuple(range(first, first + many)), tuple(range(many)))
    )
    return viewed(net, ahead, lambda s: (prod(s[:many]), *s[many:]), suffix="rows")
