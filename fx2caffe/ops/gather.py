"""gather and take_along_dim, by indices that the net computes."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from caffe2fx.layers import Reduction
from fx2caffe.ir.binary import Binary, BinaryOp
from fx2caffe.ir.constants import as_symbol
from fx2caffe.ir.data_movement import positions, rearrange
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.gather import DENSE
from fx2caffe.ir.reshape import reshaped, viewed
from fx2caffe.ir.symbol import Operand, Symbol
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.arguments import positive
from fx2caffe.ops.blocks import product, weighted_sum
from fx2caffe.ops.indexing import from_front, twice_along, viewed_any
from fx2caffe.ops.lookup import one_hot_of, rows_of


@handles(torch.gather)
def gather(
    net: Emitter, input: Operand, dim: int, index: Operand, *, sparse_grad: bool = False
) -> Symbol:
    """Compute result[i, j] = input[index[i, j], j] for dim 0, and likewise for others."""
    if isinstance(index, Tensor):
        assert isinstance(input, Symbol)  # a call on constants is not lowered
        return rearrange(net, input, lambda x: x.gather(dim, index))
    source = as_symbol(net, input, suffix="input")
    source = viewed(net, source, lambda s: s or (1,), suffix="flat")
    indices = viewed(net, index, lambda s: s or (1,), suffix="indices")
    axis = positive(dim, source.rank)
    free = any(s.shape != s.other_shape for s in (source, indices))
    work = prod(indices.shape[1:]) * source.shape[axis]
    if free and axis > 0 and work <= DENSE and not indices.carries_batch(axis):
        top = _by_one_hot(net, source, axis, indices)
    else:
        top = _by_flat_index(net, source, axis, indices)
    return reshaped(net, top, index.shape, index.other_shape)


def _by_one_hot(net: Emitter, input: Symbol, axis: int, index: Symbol) -> Symbol:
    """Multiply each vector by one-hot indices and sum; the batch stays free."""
    line = _cut_to(net, rearrange(net, input, lambda x: x.movedim(axis, -1)), axis, index)
    asked = rearrange(net, index, lambda x: x.movedim(axis, -1))
    ones = one_hot_of(net, asked, input.static_size(axis))
    unsqueezed = viewed(net, line, lambda s: (*s[:-1], 1, s[-1]), suffix="unsqueezed")
    chosen = net.add(Binary(op=BinaryOp.MUL), ones, unsqueezed, suffix="selected")
    found = net.add(Reduction(axis=-1), chosen, suffix="gathered")
    return rearrange(net, found, lambda x: x.movedim(-1, axis))


def _cut_to(net: Emitter, line: Symbol, axis: int, index: Symbol) -> Symbol:
    """Cut the other axes to the index's sizes, which may be smaller than the input's."""
    kept = tuple(n for a, n in enumerate(index.shape) if a != axis)
    others = tuple(n for a, n in enumerate(index.other_shape) if a != axis)
    if line.shape[:-1] == kept and line.other_shape[:-1] == others:
        return line
    if any(line.carries_batch(a) and line.shape[a] != n for a, n in enumerate(kept)):
        net.fix_batch(f"{net.scope[0]} picks from some samples only")
    ends = [None if line.carries_batch(axis) else size for axis, size in enumerate(kept)]
    return rearrange(net, line, lambda x: x[tuple(slice(end) for end in ends)])


def _by_flat_index(net: Emitter, input: Symbol, axis: int, index: Symbol) -> Symbol:
    """Gather single elements by flat indices over the whole input, which fixes the batch."""
    if input.shape != input.other_shape or index.shape != index.other_shape:
        net.fix_batch(f"{net.scope[0]} counts its indices over all samples")
    start = positions(input.shape).narrow(axis, 0, 1)
    kept = [slice(size if a != axis else None) for a, size in enumerate(index.shape)]
    start = start[tuple(kept)].expand(index.shape)
    step = prod(input.shape[axis + 1 :])
    steps = index if step == 1 else product(net, index, float(step), "steps")
    flat_index = weighted_sum(net, steps, start, suffix="indices")
    return rows_of(net, _column(net, input), flat_index)


def _column(net: Emitter, input: Symbol) -> Symbol:
    """Flatten the input to rows of one element."""
    return viewed(net, input, lambda s: (prod(s),), suffix="flat")


@handles(torch.take_along_dim)
def take_along_dim(
    net: Emitter, input: Operand, indices: Operand, dim: int | None = None, *, out: Expected
) -> Symbol:
    """Apply `gather` to input and indices broadcast to each other on the other axes."""
    if dim is None:
        line, line_index = (viewed_any(net, each, (-1,)) for each in (input, indices))
        found = take_along_dim(net, line, line_index, 0, out=out)
        return reshaped(net, found, out.shape, out.other_shape)
    if isinstance(indices, Tensor):
        assert isinstance(input, Symbol)  # a call on constants is not lowered
        return rearrange(net, input, lambda x: x.take_along_dim(indices, dim))
    source = as_symbol(net, input, suffix="input")
    axis = positive(dim, source.rank)
    from_start, twice = from_front(net, indices, source.static_size(axis))
    assert isinstance(from_start, Symbol)  # since the indices are one
    doubled = twice_along(net, _grown(net, source, axis, indices), [axis] if twice else [])
    return gather(net, doubled, axis, _grown(net, from_start, axis, source))


def _grown(net: Emitter, input: Symbol, axis: int, like: Symbol) -> Symbol:
    """Expand axes of size 1 to the size in `like`, except for one axis."""
    sizes = [1 if a == axis else n for a, n in enumerate(like.shape)]
    if all(n in (1, m) for n, m in zip(sizes, input.shape, strict=True)):
        return input
    return rearrange(
        net,
        input,
        lambda x: x.expand([-1 if m != 1 else n for n, m in zip(sizes, x.shape, strict=True)]),
    )
