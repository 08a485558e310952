"""Distances and similarities of vectors, and bilinear forms."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe2fx.messages.message import Shape
from fx2caffe.ir.binary import BinaryOp
from fx2caffe.ir.constants import as_symbol
from fx2caffe.ir.data_movement import rearrange
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.reduce import ReduceOp
from fx2caffe.ir.reshape import viewed
from fx2caffe.ir.symbol import Operand, Symbol
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.arguments import positive
from fx2caffe.ops.blocks import affine, difference, extreme, product, quotient
from fx2caffe.ops.index_map import expanded
from fx2caffe.ops.matmul import linear
from fx2caffe.ops.reduction import normed, reduced


@handles(torch.dist)
def dist(net: Emitter, input: Operand, other: Operand, p: float = 2) -> Symbol:
    """Compute the norm of the difference over all elements."""
    return normed(net, difference(net, input, other, "difference"), p, None, False)


@handles(F.pairwise_distance)
def pairwise_distance(
    net: Emitter,
    x1: Operand,
    x2: Operand,
    p: float = 2.0,
    eps: float = 1e-6,
    keepdim: bool = False,
) -> Symbol:
    """Compute the norm of x1 - x2 + eps; torch adds eps to each difference."""
    shifted = affine(net, difference(net, x1, x2, "difference"), 1, eps, "shifted")
    return normed(net, shifted, p, -1, keepdim)


@handles(torch.cdist)
def cdist(
    net: Emitter, x1: Operand, x2: Operand, p: float = 2.0, compute_mode: str | None = None
) -> Symbol:
    """Compute the norms of each row of x1 minus each row of x2."""
    one, two = as_symbol(net, x1, suffix="x1"), as_symbol(net, x2, suffix="x2")
    rows = viewed(net, one, lambda s: (*s[:-1], 1, s[-1]), suffix="rows")
    columns = viewed(net, two, lambda s: (*s[:-2], 1, *s[-2:]), suffix="columns")
    return normed(net, difference(net, rows, columns, "difference"), p, -1, False)


@handles(F.pdist)
def pdist(net: Emitter, input: Symbol, p: float = 2) -> Symbol:
    """Compute the norms of each row minus each later row."""
    first, second = torch.triu_indices(input.static_size(0), input.static_size(0), 1)
    rows = [rearrange(net, input, lambda x, i=i: x[i]) for i in (first, second)]  # type: ignore[misc]
    return normed(net, difference(net, rows[0], rows[1], "difference"), p, -1, False)


@handles(F.cosine_similarity)
def cosine_similarity(
    net: Emitter, x1: Operand, x2: Operand, dim: int = 1, eps: float = 1e-8
) -> Symbol:
    """Compute sum(x1 x2) / (|x1| |x2|), with each length at least eps."""
    one, two = as_symbol(net, x1, suffix="x1"), as_symbol(net, x2, suffix="x2")
    rank = max(one.rank, two.rank)
    axis = positive(dim, rank) - rank
    one, two = _alike_along(net, one, two, axis)
    alike = reduced(
        net, ReduceOp.SUM, product(net, one, two, "products"), axis, suffix="dot_product"
    )
    sizes = product(net, _size(net, one, axis, eps), _size(net, two, axis, eps), "sizes")
    return quotient(net, alike, sizes)


def _alike_along(net: Emitter, one: Symbol, two: Symbol, axis: int) -> tuple[Symbol, Symbol]:
    """Broadcast both along the axis, since torch takes the lengths of broadcast vectors."""
    if not axis:
        return one, two  # two scalars
    sizes = [symbol.shape[axis] if symbol.rank >= -axis else 0 for symbol in (one, two)]
    if sizes[0] == sizes[1]:
        return one, two
    longer = one if sizes[0] > sizes[1] else two
    return _as_long(net, one, longer, axis), _as_long(net, two, longer, axis)


def _as_long(net: Emitter, input: Symbol, like: Symbol, axis: int) -> Symbol:
    """Repeat a tensor along an axis to the size of another tensor there."""

    def grown(own: Shape, size: int) -> Shape:
        led = (*(1,) * (-axis - len(own)), *own)
        return (*led[:axis], size, *led[len(led) + axis + 1 :])

    shape, other = (
        grown(input.shape, like.shape[axis]),
        grown(input.other_shape, like.other_shape[axis]),
    )
    return expanded(net, input, shape, other)


def _size(net: Emitter, input: Symbol, axis: int, eps: float) -> Symbol:
    length = normed(net, input, 2, axis, False, suffix="length")
    return extreme(net, BinaryOp.MAX, length, eps, "size")


@handles(F.bilinear)
def bilinear(
    net: Emitter, input1: Operand, input2: Operand, weight: Operand, bias: Operand | None = None
) -> Symbol:
    """Multiply all pairs of elements of the two inputs, then apply the weight as one matrix."""
    one, two = as_symbol(net, input1, suffix="input1"), as_symbol(net, input2, suffix="input2")
    column = viewed(net, one, lambda s: (*s, 1), suffix="column")
    row = viewed(net, two, lambda s: (*s[:-1], 1, s[-1]), suffix="row")
    each = product(net, column, row, "products")
    flat = viewed(net, each, lambda s: (*s[:-2], s[-2] * s[-1]), suffix="flat")
    if isinstance(weight, Symbol):
        matrix: Operand = viewed(net, weight, lambda s: (s[0], s[1] * s[2]), suffix="weight")
    else:
        matrix = weight.flatten(1)
    return linear(net, flat, matrix, bias)


@handles(Tensor.sum_to_size)
def sum_to_size(net: Emitter, input: Symbol, *size: int | Sequence[int]) -> Symbol:
    """Sum over the axes along which broadcasting would repeat."""
    wanted = size[0] if len(size) == 1 and not isinstance(size[0], int) else size
    assert isinstance(wanted, Sequence)
    more = input.rank - len(wanted)
    axes = [a for a in range(input.rank) if a < more or wanted[a - more] != input.shape[a]]
    summed = reduced(net, ReduceOp.SUM, input, axes, True, suffix="summed") if axes else input
    return viewed(net, summed, lambda s: s[more:])
