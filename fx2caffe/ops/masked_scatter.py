"""masked_scatter: the elements that a mask selects are replaced by those of a source, in order."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import torch
from torch import Tensor

from caffe2fx.layers import Tile
from fx2caffe.ir.constants import as_symbol
from fx2caffe.ir.data_movement import rearrange
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.reshape import reshaped, viewed
from fx2caffe.ir.symbol import Operand, Symbol
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.blocks import AnyOperand, affine, clipped, inside
from fx2caffe.ops.index_map import expanded
from fx2caffe.ops.lookup import rows_of
from fx2caffe.ops.matmul import broadcast_shape
from fx2caffe.ops.scan import running_sum
from fx2caffe.ops.scatter import written
from fx2caffe.ops.selection import select


@handles(torch.masked_scatter)
def masked_scatter(net: Emitter, input: Operand, mask: Operand, source: AnyOperand) -> Symbol:
    if isinstance(mask, Tensor):
        return written(net, input, source, lambda x, y: x.masked_scatter(mask, y))
    base = as_symbol(net, input, suffix="base")
    shape = broadcast_shape(base.shape, mask.shape)
    if shape != broadcast_shape(base.other_shape, mask.other_shape):
        net.fix_batch(f"{net.scope[0]} counts the elements of its mask over all samples")
    base = inside(net, "base", expanded, base, shape, shape)
    new = source if isinstance(source, Symbol) else torch.as_tensor(source)
    length = _row_length(net, mask, shape, prod(new.shape))
    marks = inside(net, "mask", expanded, mask, shape, shape)
    order = inside(net, "order", _order, marks, length)
    rows = inside(net, "rows", rows_of, _table(net, new, length), order)
    values = reshaped(net, rows, shape, shape, suffix="values")
    return select(net, replace(marks, dtype=torch.bool), values, base)


def _row_length(net: Emitter, mask: Symbol, shape: tuple[int, ...], count: int) -> int:
    """Return how many elements in a row share each element of the mask, and come as one row.

    A mask of whole vectors is often repeated along the last axis by the caller.
    """
    length, size = 1, shape[-1] if shape else 1
    if mask.rank and mask.shape[-1] == 1 < size:
        length = size
    made = next((step for step in net.steps if mask.value in step.tops), None)
    if made is not None and made.layer == Tile(axis=mask.rank - 1, tiles=size):
        length = size
    return length if count % length == 0 else 1


def _order(net: Emitter, marks: Symbol, length: int) -> Symbol:
    """Return, for each row, how many rows before it are selected."""
    line = viewed(net, marks, lambda s: (prod(s),), suffix="line")
    firsts = rearrange(net, line, lambda x: x.reshape(-1, length)[:, 0])
    counts = running_sum(net, firsts, 0, suffix="counts")
    return clipped(net, affine(net, counts, 1, -1, "before"), 0, None)


def _table(net: Emitter, source: Operand, length: int) -> Operand:
    """Return the source as rows."""
    if isinstance(source, Tensor):
        return source.reshape(-1, length)
    return viewed(net, source, lambda s: (prod(s) // length, length), suffix="table")
