"""Writes along an axis at computed indices: a one-hot matrix marks the destinations."""

from __future__ import annotations

from math import prod

from torch import Tensor

from fx2caffe.ir.binary import PRODUCT
from fx2caffe.ir.constants import as_symbol
from fx2caffe.ir.data_movement import rearrange
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.gather import DENSE
from fx2caffe.ir.reduce import ReduceOp
from fx2caffe.ir.reshape import viewed
from fx2caffe.ir.symbol import Operand, Refused, Symbol
from fx2caffe.ops.arguments import positive
from fx2caffe.ops.blocks import AnyOperand, inside, opposite, product, weighted_sum
from fx2caffe.ops.computed_index import latest
from fx2caffe.ops.lookup import one_hot_of
from fx2caffe.ops.reduction import reduced


def scalar_at(net: Emitter, input: Operand, dim: int, index: Symbol, scalar: AnyOperand) -> Symbol:
    """Write one value at computed indices, by a mask."""
    base = as_symbol(net, input, suffix="base")
    marks, _ = marks_of(net, base, dim, index, None)
    mask = is_written(net, marks, positive(dim, base.rank))
    if isinstance(input, Tensor) and not bool(input.any()):
        return product(net, mask, scalar)
    return _over(net, base, mask, product(net, mask, scalar, "value"))


def values_at(net: Emitter, input: Operand, dim: int, index: Symbol, src: Operand) -> Symbol:
    """Write values at computed indices: each destination takes the last that has its index."""
    base, new = as_symbol(net, input, suffix="base"), as_symbol(net, src, suffix="src")
    marks, values = marks_of(net, base, dim, index, new)
    assert values is not None  # src was given
    axis = positive(dim, base.rank)
    each = product(net, values, inside(net, "last", latest, marks), "each")
    summed = reduced(net, ReduceOp.SUM, each, -2, suffix="value")
    spread = rearrange(net, summed, lambda x: x.movedim(-1, axis))
    if isinstance(input, Tensor) and not bool(input.any()):
        return spread
    return _over(net, base, is_written(net, marks, axis), spread)


def is_written(net: Emitter, marks: Symbol, axis: int) -> Symbol:
    """Return 1 for each destination that an index names, else 0."""
    found = reduced(net, ReduceOp.MAX, marks, -2, suffix="is_written")
    return rearrange(net, found, lambda x: x.movedim(-1, axis))


def _over(net: Emitter, base: Symbol, mask: Symbol, value: Symbol) -> Symbol:
    """Return `value`, which is 0 elsewhere, where the mask is 1, else `base`."""
    return weighted_sum(net, unwritten(net, base, mask), value)


def unwritten(net: Emitter, base: Symbol, mask: Symbol) -> Symbol:
    """Return `base` with 0 where the mask is 1."""
    return net.add(PRODUCT, base, opposite(net, mask, "is_unwritten"), suffix="masked")


def marks_of(
    net: Emitter, base: Symbol, dim: int, index: Symbol, src: Symbol | None
) -> tuple[Symbol, Symbol | None]:
    """Return the one-hot index (its elements on the axis before the last), and the source elements.

    Both have the scattered axis behind the others.
    """
    axis = positive(dim, base.rank)
    others = [a for a in range(base.rank) if a != axis]
    if any(
        (base.shape[a], base.other_shape[a]) != (index.shape[a], index.other_shape[a])
        for a in others
    ):
        raise Refused(f"needs an index as large as its input but for dim, got {index.shape}")
    check_work(index, base.static_size(axis))
    last = rearrange(net, index, lambda x: x.movedim(axis, -1))
    marks = one_hot_of(net, last, base.static_size(axis), "marks")
    if src is None:
        return marks, None
    ends = [None if index.carries_batch(a) else n for a, n in enumerate(index.shape)]
    cut = rearrange(net, src, lambda x: x[tuple(slice(end) for end in ends)].movedim(axis, -1))
    return marks, viewed(net, cut, lambda s: (*s, 1), suffix="unsqueezed")


def check_work(new: Symbol, size: int) -> None:
    """Raise Refused for a one-hot matrix that would be too large."""
    count = prod(new.shape) * size
    if count > DENSE:
        raise Refused(f"needs at most {DENSE} pairs of an element and an index, got {count}")
