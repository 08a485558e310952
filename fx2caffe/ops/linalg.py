"""Chains and powers of matrix products, and covariances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from math import prod

import torch
from torch import Tensor

from caffe2fx.layers import Power
from caffe2fx.messages.message import Shape
from fx2caffe.ir.binary import Binary, BinaryOp
from fx2caffe.ir.constants import as_float32
from fx2caffe.ir.data_movement import rearrange
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.matmul import MatMul
from fx2caffe.ir.reduce import ReduceOp
from fx2caffe.ir.reshape import reshaped, viewed
from fx2caffe.ir.symbol import Operand, Refused, Symbol
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import handles
from fx2caffe.ops import blocks
from fx2caffe.ops.blocks import clipped, inverse, times
from fx2caffe.ops.elementwise import add
from fx2caffe.ops.matmul import addmm, product, with_column, with_row
from fx2caffe.ops.reduction import kept, normed, reduced


@handles(torch.addbmm)
def addbmm(
    net: Emitter,
    input: Operand,
    batch1: Operand,
    batch2: Operand,
    beta: float = 1,
    alpha: float = 1,
    *,
    out: Expected,
) -> Symbol:
    """Compute the sum of a batch of products as one product of concatenated matrices."""
    columns = _arranged(
        net, batch1, lambda x: x.movedim(0, 1), lambda s: (s[0], s[1] * s[2]), "beside"
    )
    rows = _arranged(net, batch2, lambda x: x, lambda s: (s[0] * s[1], s[2]), "batch2")
    return addmm(net, input, columns, rows, beta, alpha, out=out)


def _arranged(
    net: Emitter,
    stack: Operand,
    move: Callable[[Tensor], Tensor],
    view: Callable[[Shape], Shape],
    suffix: str,
) -> Operand:
    if isinstance(stack, Tensor):
        return move(stack).reshape(view(tuple(move(stack).shape)))
    return viewed(net, rearrange(net, stack, move), view, suffix)


@handles(torch.addr)
def addr(
    net: Emitter,
    input: Operand,
    vec1: Operand,
    vec2: Operand,
    beta: float = 1,
    alpha: float = 1,
    *,
    out: Expected,
) -> Symbol:
    """Compute beta * input + alpha * outer(vec1, vec2)."""
    term: Operand
    if isinstance(vec1, Tensor) and isinstance(vec2, Tensor):
        term = torch.outer(vec1, vec2) * alpha
    else:
        term = blocks.product(net, with_column(net, vec1), vec2, "outer")
        term = term if alpha == 1 else net.add(Power(scale=float(alpha)), term, suffix="scaled")
    if beta == 0 and isinstance(term, Symbol):
        return term
    return add(net, term, input, alpha=beta, out=out)


@handles(torch.matrix_power)
def matrix_power(net: Emitter, input: Symbol, n: int, *, out: Expected) -> Operand:
    """Compute a matrix power by squaring: n = 13 is x^8 x^4 x."""
    if n < 0:
        raise Refused(f"needs a power of 0 or more, since others are of the inverse, got {n}")
    if n == 0:
        return torch.eye(out.shape[-1]).expand(out.shape)
    found: Symbol | None = None
    square = input
    for bit in range(n.bit_length()):
        square = product(net, square, square, f"power{2**bit}") if bit else square
        if n >> bit & 1:
            found = square if found is None else product(net, found, square)
    assert found is not None  # n has a highest bit
    return found


@handles(torch.linalg.matrix_power)
def linalg_matrix_power(net: Emitter, A: Symbol, n: int, *, out: Expected) -> Operand:
    return matrix_power(net, A, n, out=out)


@handles(torch.linalg.multi_dot)
def multi_dot(net: Emitter, tensors: Sequence[Operand], *, out: Expected) -> Symbol:
    """Multiply from left to right; adjacent constants are folded first."""
    first, *others, last = tensors
    chain = [with_row(net, first), *others, with_column(net, last)]
    found = reduce(lambda one, two: _product(net, one, two), _folded(chain))
    assert isinstance(found, Symbol)  # a call on constants is not lowered
    return reshaped(net, found, out.shape, out.other_shape)


@handles(torch.chain_matmul)
def chain_matmul(net: Emitter, *matrices: Operand, out: Expected) -> Operand:
    return multi_dot(net, matrices, out=out) if len(matrices) > 1 else matrices[0]


def _folded(chain: Sequence[Operand]) -> list[Operand]:
    found: list[Operand] = []
    for matrix in chain:
        if found and isinstance(found[-1], Tensor) and isinstance(matrix, Tensor):
            found[-1] = found[-1].double() @ matrix.double()
        else:
            found.append(matrix)
    return found


def _product(net: Emitter, one: Operand, two: Operand) -> Operand:
    return product(net, one, two)


@handles(torch.linalg.vecdot)
def vecdot(net: Emitter, x: Operand, y: Operand, *, dim: int = -1) -> Symbol:
    """Sum the products along an axis."""
    return reduced(net, ReduceOp.SUM, blocks.product(net, x, y, "product"), dim)


@handles(torch.cov)
def cov(
    net: Emitter,
    input: Symbol,
    *,
    correction: int = 1,
    fweights: Operand | None = None,
    aweights: Operand | None = None,
    out: Expected,
) -> Symbol:
    """Compute the mean product of the centred rows, for each pair of rows."""
    rows = _rows(net, input)
    counts, parts = (_weights(rows, given) for given in (fweights, aweights))
    weights = counts * parts
    if aweights is None or correction == 0:
        divisor = weights.sum() - correction
    else:
        divisor = weights.sum() - correction * (weights * parts).sum() / weights.sum()
    if divisor <= 0:
        raise Refused(f"needs more samples than the correction takes, got {float(divisor)} left")
    centred = _centred(net, rows, weights)
    weighted = times(net, centred, as_float32(_scalar_if_equal(weights / divisor)), "weighted")
    top = net.add(MatMul(transposed=True), weighted, centred)
    return reshaped(net, top, out.shape, out.other_shape)


def _rows(net: Emitter, input: Symbol) -> Symbol:
    """Reshape a scalar or vector to a matrix of one row."""
    return viewed(net, input, lambda s: s if len(s) == 2 else (1, prod(s)), suffix="rows")


def _weights(rows: Symbol, given: Operand | None) -> Tensor:
    """Return the weight of each observation, 1 by default."""
    if isinstance(given, Symbol):
        raise Refused("needs constant weights, got some that depend on the input")
    return torch.ones(rows.static_size(1), dtype=torch.float64) if given is None else given.double()


def _scalar_if_equal(weights: Tensor) -> Tensor:
    return weights[0] if bool((weights == weights[0]).all()) else weights


def _centred(net: Emitter, rows: Symbol, weights: Tensor) -> Symbol:
    column = (weights / weights.sum())[:, None]
    mean = product(net, rows, column, "mean")
    return net.add(Binary(op=BinaryOp.ADD, coeff=(1.0, -1.0)), rows, mean, suffix="centred")


@handles(torch.corrcoef)
def corrcoef(net: Emitter, input: Symbol, *, out: Expected) -> Symbol:
    """Multiply the rows, centred and scaled to length 1, and clip to [-1, 1]."""
    rows = _rows(net, input)
    centred = _centred(net, rows, _weights(rows, None))
    length = normed(net, centred, 2.0, 1, None, suffix="length")
    less = kept(net, inverse(net, length, suffix="inverse"), centred, 1)
    unit = net.add(Binary(op=BinaryOp.MUL), centred, less, suffix="normalized")
    found = net.add(MatMul(transposed=True), unit, unit, suffix="products")
    return reshaped(net, clipped(net, found, -1, 1), out.shape, out.other_shape)
