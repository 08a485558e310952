"""scatter and index_put, with constant or computed indices."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from caffe2fx.layers import Eltwise
from fx2caffe.ir.axis_matrix import AxisMatrix
from fx2caffe.ir.binary import PRODUCT, Binary, BinaryOp
from fx2caffe.ir.constants import LARGEST, as_symbol
from fx2caffe.ir.data_movement import positions, rearrange
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.reduce import ReduceOp
from fx2caffe.ir.reshape import viewed
from fx2caffe.ir.symbol import Operand, Refused, Symbol
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.arguments import positive
from fx2caffe.ops.assign import setitem
from fx2caffe.ops.blocks import (
    MAXIMUM,
    AnyOperand,
    affine,
    clipped,
    combined,
    inside,
    negated,
    product,
    weighted_sum,
)
from fx2caffe.ops.index_table import written_rows
from fx2caffe.ops.indexing import IndexParts
from fx2caffe.ops.lookup import one_hot_of
from fx2caffe.ops.overlay import from_both
from fx2caffe.ops.reduction import reduced
from fx2caffe.ops.scatter_marks import (
    check_work,
    is_written,
    marks_of,
    scalar_at,
    unwritten,
    values_at,
)

Write = Callable[[Tensor, Tensor], Tensor]


def written(net: Emitter, input: Operand, value: AnyOperand, write: Write) -> Symbol:
    """Apply torch's own `write` of a value: each result element comes from `input` or the value."""
    base = as_symbol(net, input, suffix="base")
    new = as_symbol(net, value, suffix="value")
    sources = [
        write(positions(one), positions(two, prod(one)))
        for one, two in ((base.shape, new.shape), (base.other_shape, new.other_shape))
    ]
    return from_both(net, base, new, sources)


@handles(torch.select_scatter)
def select_scatter(net: Emitter, input: Operand, src: AnyOperand, dim: int, index: int) -> Symbol:
    return written(net, input, src, lambda x, y: x.select_scatter(y, dim, index))


@handles(torch.slice_scatter)
def slice_scatter(
    net: Emitter,
    input: Operand,
    src: AnyOperand,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Symbol:
    return written(net, input, src, lambda x, y: x.slice_scatter(y, dim, start, end, step))


@handles(torch.diagonal_scatter)
def diagonal_scatter(
    net: Emitter, input: Operand, src: AnyOperand, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Symbol:
    return written(net, input, src, lambda x, y: x.diagonal_scatter(y, offset, dim1, dim2))


def _known(name: str, index: Any) -> Tensor:
    if isinstance(index, Symbol):
        raise Refused(f"needs a constant {name}, got one that depends on the input")
    tensor: Tensor = index
    return tensor


def _along(input: Operand, dim: int, index: Operand) -> tuple[Any, ...]:
    """Return the key that indexes one axis of the input and takes the axes before it whole."""
    if not len(input.shape):
        raise Refused("needs a tensor with axes, got a scalar")
    return (slice(None),) * (dim % len(input.shape)) + (index,)


@handles(torch.index_fill)
def index_fill(net: Emitter, input: Operand, dim: int, index: Operand, value: AnyOperand) -> Symbol:
    return setitem(net, input, _along(input, dim, _known("index", index)), value)


@handles(torch.index_copy)
def index_copy(
    net: Emitter, input: Operand, dim: int, index: Operand, source: AnyOperand
) -> Symbol:
    if isinstance(index, Symbol):
        return setitem(net, input, _along(input, dim, index), source)
    return written(net, input, source, lambda x, y: x.index_copy(dim, index, y))


@handles(torch.index_put, torch.ops.aten.index_put.default)
def index_put(
    net: Emitter, input: Operand, indices: Any, values: AnyOperand, accumulate: bool = False
) -> Symbol:
    if not accumulate:
        return setitem(net, input, tuple(indices), values)
    parts = tuple(slice(None) if index is None else index for index in indices)
    base = as_symbol(net, input, "base")
    if any(isinstance(index, Symbol) for index in indices):
        return written_rows(net, base, IndexParts.of(parts, base.rank), values, _add_rows)
    return _accumulated(net, base, as_symbol(net, values, "new"), parts)


def _add_rows(net: Emitter, table: Symbol, indices: Symbol, rows: Symbol) -> Symbol:
    return index_add(net, table, 0, indices, rows)


MOST_AT_ONE_INDEX = 64


def _accumulated(net: Emitter, base: Symbol, new: Symbol, indices: tuple[Any, ...]) -> Symbol:
    """Sum the base and, for each turn of a repeated index, zeros with that turn's values."""
    counts = _turns(positions(base.shape)[indices])
    if not counts.numel():  # a mask without an element
        return base
    most = int(counts.max()) + 1
    if most > MOST_AT_ONE_INDEX:
        raise Refused(f"needs at most {MOST_AT_ONE_INDEX} values at one index, got {most}")
    zeros = affine(net, base, 0, suffix="zeros")
    terms = [
        inside(net, f"turn{turn}", written, zeros, new, partial(_write_turn, indices, turn))
        for turn in range(most)
    ]
    return combined(net, [(1, base), *((1, term) for term in terms)])


def _write_turn(indices: tuple[Any, ...], turn: int, base: Tensor, new: Tensor) -> Tensor:
    """Write the values whose index occurs for the `turn`-th time."""
    targets = positions(tuple(base.shape))[indices]
    chosen = _turns(targets) == turn
    result = base.flatten().clone()
    result[targets.flatten()[chosen]] = new.expand(targets.shape).flatten()[chosen]
    return result.reshape(base.shape)


def _turns(targets: Tensor) -> Tensor:
    """Return, for each target, how many equal ones come before it, in flattened order."""
    order = targets.flatten().argsort(stable=True)
    ordered = targets.flatten()[order]
    starts = torch.searchsorted(ordered, ordered)
    turns = torch.empty_like(order)
    turns[order] = torch.arange(len(order)) - starts
    return turns


@handles(torch.index_add)
def index_add(
    net: Emitter, input: Operand, dim: int, index: Operand, source: Operand, *, alpha: float = 1
) -> Symbol:
    """Distribute the slices of the source by a one-hot matrix, and add them."""
    base = as_symbol(net, input, suffix="base")
    new = as_symbol(net, source, suffix="source")
    axis = positive(dim, base.rank)
    size = base.static_size(axis)
    if isinstance(index, Symbol):
        spread = _to_indices(net, new, axis, index, size)
    else:
        ones = (torch.arange(size)[:, None] == index[None]).float()
        spread = net.add(AxisMatrix(axis=axis, rows=size), new, blobs=[ones], suffix="scattered")
    return weighted_sum(net, base, spread, (1.0, float(alpha)))


def _to_indices(net: Emitter, new: Symbol, axis: int, index: Symbol, size: int) -> Symbol:
    """Sum the slices with the same index; all vectors share the indices."""
    last = rearrange(net, new, lambda x: x.movedim(axis, -1))
    unsqueezed = viewed(net, last, lambda s: (*s, 1), suffix="unsqueezed")
    ones = one_hot_of(net, index, size)
    check_work(new, size)
    each = product(net, unsqueezed, ones, "each")
    summed = reduced(net, ReduceOp.SUM, each, -2, suffix="sums")
    return rearrange(net, summed, lambda x: x.movedim(-1, axis))


@handles(torch.scatter)
def scatter(
    net: Emitter,
    input: Operand,
    dim: int,
    index: Operand,
    src: AnyOperand,
    *,
    reduce: str | None = None,
) -> Symbol:
    """Write at indices of an axis; of equal ones torch keeps the last."""
    if not len(input.shape):
        raise Refused("needs a tensor with axes, got a scalar")
    if reduce is not None:
        reduction = {"add": "sum", "multiply": "prod"}[reduce]
        return scatter_reduce(net, input, dim, index, _like(index, src), reduction)
    if isinstance(src, Symbol | Tensor) and len(src.shape):
        if isinstance(index, Tensor):
            return written(net, input, src, lambda x, y: x.scatter(dim, index, y))
        return values_at(net, input, dim, index, src)
    if isinstance(index, Tensor):
        if isinstance(input, Symbol) and input.shape != input.other_shape:
            net.fix_batch(f"{net.scope[0]} writes to indices of each sample")
        mask = torch.zeros(tuple(input.shape)).scatter(dim, index, 1.0) > 0
        return setitem(net, input, mask, src)
    return scalar_at(net, input, dim, index, src)


def _like(index: Operand, src: AnyOperand) -> Operand:
    if isinstance(src, Symbol | Tensor):
        return src
    return torch.full(tuple(index.shape), float(src))


@handles(torch.scatter_add)
def scatter_add(net: Emitter, input: Operand, dim: int, index: Operand, src: Operand) -> Symbol:
    return scatter_reduce(net, input, dim, index, src, "sum")


@handles(torch.scatter_reduce)
def scatter_reduce(
    net: Emitter,
    input: Operand,
    dim: int,
    index: Operand,
    src: Operand,
    reduce: str,
    *,
    include_self: bool = True,
) -> Symbol:
    """Reduce the sources of each destination, with its own element if `include_self`."""
    base, new = as_symbol(net, input, suffix="base"), as_symbol(net, src, suffix="src")
    if reduce == "amin":
        base, new = negated(net, base, "base_negative"), negated(net, new, "src_negative")
    indices = as_symbol(net, index, suffix="index")
    marks, values = marks_of(net, base, dim, indices, new)
    assert values is not None  # src was given
    found = _reduced(net, _REDUCTIONS[reduce], values, marks)
    axis = positive(dim, base.rank)

    def back(symbol: Symbol) -> Symbol:
        return rearrange(net, symbol, lambda x: x.movedim(-1, axis))

    if not include_self:
        hit = is_written(net, marks, axis)
        base = _without_hit(net, base, hit, _REDUCTIONS[reduce].neutral)
    top = net.add(_REDUCTIONS[reduce].layer, base, back(found), suffix=_ROLES.get(reduce, ""))
    if reduce == "amin":
        return negated(net, top)
    if reduce != "mean":
        return top
    count = back(reduced(net, ReduceOp.SUM, marks, -2, suffix="count"))
    if include_self:
        divisor = affine(net, count, 1, 1, "divisor")
    else:
        divisor = clipped(net, count, 1, None, "divisor")
    return net.add(Binary(op=BinaryOp.DIV), top, divisor)


@handles(torch.index_reduce)
def index_reduce(
    net: Emitter,
    input: Operand,
    dim: int,
    index: Operand,
    source: Operand,
    reduce: str,
    *,
    include_self: bool = True,
) -> Symbol:
    """Apply scatter_reduce to whole slices: all elements of a slice have the same index."""
    new = as_symbol(net, source, suffix="source")
    if new.shape != new.other_shape:
        net.fix_batch(f"{net.scope[0]} spreads its indices over all samples")
    column = tuple(-1 if axis == dim % max(1, new.rank) else 1 for axis in range(new.rank))
    indices = as_symbol(net, index, suffix="index")
    spread = rearrange(net, indices, lambda x: x.reshape(column).expand(new.shape))
    return scatter_reduce(net, input, dim, spread, new, reduce, include_self=include_self)


class _Reduction(NamedTuple):
    """Holds a reduction over an axis, of two tensors, and its neutral element."""

    op: ReduceOp
    layer: Eltwise
    neutral: float


_SUM = _Reduction(ReduceOp.SUM, Eltwise(), 0.0)
_MOST = _Reduction(ReduceOp.MAX, MAXIMUM, -LARGEST)
_REDUCTIONS = {
    "sum": _SUM,
    "mean": _SUM,
    "prod": _Reduction(ReduceOp.PROD, PRODUCT, 1.0),
    "amax": _MOST,
    "amin": _MOST,
}
_ROLES = {"amin": "largest", "mean": "sum"}


def _reduced(net: Emitter, reduction: _Reduction, values: Symbol, marks: Symbol) -> Symbol:
    """Reduce, for each destination, the sources whose index equals it."""
    each = product(net, values, marks, "each")
    if reduction.neutral:
        rest = affine(net, marks, -reduction.neutral, reduction.neutral, "remainder")
        each = net.add(Eltwise(), each, rest, suffix="with_base")
    return reduced(net, reduction.op, each, -2, suffix="reduced")


def _without_hit(net: Emitter, base: Symbol, hit: Symbol, neutral: float) -> Symbol:
    """Return `base` with the neutral element at every destination."""
    kept = unwritten(net, base, hit)
    return combined(net, [(1, kept), (neutral, hit)], "without_hit") if neutral else kept
