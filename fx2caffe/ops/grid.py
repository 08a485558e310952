"""Grids, outer, cross and Kronecker products, and Vandermonde matrices."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from caffe2fx.layers import Concat, Power
from caffe2fx.messages.message import Shape
from fx2caffe.ir.binary import Binary, BinaryOp
from fx2caffe.ir.constants import as_symbol
from fx2caffe.ir.data_movement import positions, rearrange, take_at
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.reshape import viewed
from fx2caffe.ir.symbol import Operand, Refused, Symbol
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.blocks import difference, product


@handles(torch.broadcast_tensors)
def broadcast_tensors(net: Emitter, *tensors: Any, out: Expected) -> tuple[Operand, ...]:
    metas = zip(out.meta, out.other_meta, strict=True)
    shapes = [(tuple(one.shape), tuple(two.shape)) for one, two in metas]
    return tuple(
        _expanded(net, tensor, *pair)
        for tensor, pair in zip(_unpacked(tensors), shapes, strict=True)
    )


def _expanded(net: Emitter, tensor: Operand, shape: Shape, other: Shape) -> Operand:
    if isinstance(tensor, Tensor):
        return tensor.expand(shape)
    indices = [positions(tensor.shape).expand(shape), positions(tensor.other_shape).expand(other)]
    return take_at(net, tensor, *indices)


def _unpacked(tensors: Sequence[Any]) -> Sequence[Operand]:
    """Return the tensors of a call that takes several tensors or one list of them."""
    if len(tensors) == 1 and isinstance(tensors[0], tuple | list):
        return tensors[0]
    return tensors


@handles(torch.meshgrid)
def meshgrid(net: Emitter, *tensors: Any, indexing: str | None = None) -> tuple[Operand, ...]:
    """Give each vector an axis of its own and repeat it along all others."""
    lines = _unpacked(tensors)
    sizes = [prod(line.shape) for line in lines]
    order = list(range(len(lines)))
    if indexing == "xy" and len(lines) > 1:
        order[:2] = 1, 0
    shape = [sizes[axis] for axis in order]
    grids: list[Operand] = []
    for axis, line in enumerate(lines):
        view = [-1 if at == order.index(axis) else 1 for at in range(len(lines))]
        grids.append(_spread(net, line, view, shape))
    return tuple(grids)


def _spread(net: Emitter, line: Operand, view: Sequence[int], shape: Sequence[int]) -> Operand:
    if isinstance(line, Tensor):
        return line.reshape(tuple(view)).expand(tuple(shape))
    if line.shape != line.other_shape:
        net.fix_batch(f"{net.scope[0]} makes a grid of the batch")
    return rearrange(net, line, lambda x: x.reshape(tuple(view)).expand(tuple(shape)))


@handles(torch.cartesian_prod)
def cartesian_prod(net: Emitter, *tensors: Any) -> Symbol:
    """Flatten the grids and concatenate them as the columns of a matrix."""
    lines = _unpacked(tensors)
    if len(lines) == 1:
        return as_symbol(net, lines[0])
    columns = [
        viewed(net, as_symbol(net, grid, suffix="grid"), lambda s: (prod(s), 1), suffix="column")
        for grid in meshgrid(net, *lines)
    ]
    return net.add(Concat(axis=1), *columns)


@handles(torch.kron)
def kron(net: Emitter, input: Operand, other: Operand) -> Symbol:
    """Compute the Kronecker product of two tensors."""
    one, two = as_symbol(net, input, suffix="input"), as_symbol(net, other, suffix="other")
    rank = max(one.rank, two.rank)
    one = viewed(net, one, lambda s: _with_ones_between(s, rank, first=True), suffix="unsqueezed")
    two = viewed(net, two, lambda s: _with_ones_between(s, rank, first=False), suffix="unsqueezed")
    whole = net.add(Binary(op=BinaryOp.MUL), one, two, suffix="products")
    return viewed(
        net, whole, lambda s: tuple(s[2 * axis] * s[2 * axis + 1] for axis in range(rank))
    )


def _with_ones_between(shape: Sequence[int], rank: int, *, first: bool) -> tuple[int, ...]:
    """Insert an axis of size 1 behind (or before) each of `rank` axes."""
    full = (1,) * (rank - len(shape)) + tuple(shape)
    return tuple(size for axis in full for size in ((axis, 1) if first else (1, axis)))


@handles(torch.cross)
def cross(net: Emitter, input: Operand, other: Operand, dim: int | None = None) -> Symbol:
    if dim is None:
        dim = next(axis for axis, size in enumerate(input.shape) if size == 3)
    return linalg_cross(net, input, other, dim=dim)


@handles(torch.linalg.cross)
def linalg_cross(net: Emitter, input: Operand, other: Operand, *, dim: int = -1) -> Symbol:
    """Compute a[1] b[2] - a[2] b[1] and its cyclic permutations."""
    one, two = as_symbol(net, input, suffix="input"), as_symbol(net, other, suffix="other")
    a, b = (
        [rearrange(net, x, lambda x, by=by: x.roll(by, dim)) for by in (-1, -2)]  # type: ignore[misc]
        for x in (one, two)
    )
    first = product(net, a[0], b[1], "first")
    return difference(net, first, product(net, a[1], b[0], "second"))


@handles(torch.vander)
def vander(net: Emitter, x: Symbol, N: int | None = None, increasing: bool = False) -> Symbol:
    count = x.static_size(0) if N is None else N
    return _powers(net, x, range(count) if increasing else range(count - 1, -1, -1))


@handles(torch.linalg.vander)
def linalg_vander(net: Emitter, x: Symbol, *, N: int | None = None) -> Symbol:
    return _powers(net, x, range(x.static_size(x.rank - 1) if N is None else N))


def _powers(net: Emitter, x: Symbol, powers: Sequence[int]) -> Symbol:
    """Concatenate the columns x ** power."""
    if not powers:
        raise Refused("needs one column at least, got none")
    column = viewed(net, x, lambda s: (*s, 1), suffix="column")
    columns = [net.add(Power(power=power), column, suffix=f"power{power}") for power in powers]
    return net.add(Concat(axis=x.rank), *columns)
