"""Sums, means, maxima and norms over any axes."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, prod

import torch

from caffe2fx.layers import AbsVal, Power
from fx2caffe.ir.binary import PRODUCT, Binary, BinaryOp
from fx2caffe.ir.data_movement import rearrange
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.reduce import INNER, Reduce, ReduceOp, leaves_ones
from fx2caffe.ir.reshape import reshaped, viewed
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.arguments import axes_of, positive
from fx2caffe.ops.blocks import MAXIMUM, above, affine, combined, negated, nonzero, opposite
from fx2caffe.ops.cast import cast_first
from fx2caffe.ops.sorting import extreme_of_axis

Axes = int | Sequence[int] | None


@handles(torch.sum)
def total(
    net: Emitter,
    input: Symbol,
    dim: Axes = None,
    keepdim: bool = False,
    dtype: torch.dtype | None = None,
) -> Symbol:
    return reduced(net, ReduceOp.SUM, input, dim, keepdim, dtype)


@handles(torch.nansum)
def nansum(
    net: Emitter,
    input: Symbol,
    dim: Axes = None,
    keepdim: bool = False,
    dtype: torch.dtype | None = None,
) -> Symbol:
    """Sum the parts above and below 0; Caffe's maximum of NaN and 0 is 0."""
    zeros = affine(net, input, 0, suffix="zeros")
    up = net.add(MAXIMUM, input, zeros, suffix="positive_part")
    down = net.add(MAXIMUM, negated(net, input, "negative"), zeros, suffix="negative_part")
    elements = combined(net, [(1, up), (-1, down)], "elements")
    return reduced(net, ReduceOp.SUM, elements, dim, keepdim, dtype)


@handles(torch.mean)
def mean(
    net: Emitter,
    input: Symbol,
    dim: Axes = None,
    keepdim: bool = False,
    dtype: torch.dtype | None = None,
) -> Symbol:
    return reduced(net, ReduceOp.MEAN, input, dim, keepdim, dtype)


@handles(torch.amax)
def amax(net: Emitter, input: Symbol, dim: Axes = (), keepdim: bool = False) -> Symbol:
    return reduced(net, ReduceOp.MAX, input, dim, keepdim)


@handles(torch.amin)
def amin(net: Emitter, input: Symbol, dim: Axes = (), keepdim: bool = False) -> Symbol:
    """Compute amin as -max(-x)."""
    negative = net.add(Power(scale=-1), input, suffix="negative")
    return net.add(
        Power(scale=-1), reduced(net, ReduceOp.MAX, negative, dim, keepdim, suffix="max")
    )


@handles(torch.max)
def largest(
    net: Emitter, input: Symbol, dim: int | None = None, keepdim: bool = False, *, out: Expected
) -> Symbol | tuple[Symbol, Symbol | None]:
    """Reduce all elements, or an axis with indices: torch's overloads of one tensor."""
    if dim is None:
        return amax(net, input)
    return extreme_of_axis(net, input, dim, out, descending=True)


@handles(torch.min)
def smallest(
    net: Emitter, input: Symbol, dim: int | None = None, keepdim: bool = False, *, out: Expected
) -> Symbol | tuple[Symbol, Symbol | None]:
    """Reduce all elements, or an axis with indices: torch's overloads of one tensor."""
    if dim is None:
        return amin(net, input)
    return extreme_of_axis(net, input, dim, out, descending=False)


@handles(torch.aminmax)
def aminmax(
    net: Emitter, input: Symbol, *, dim: int | None = None, keepdim: bool = False
) -> tuple[Symbol, Symbol]:
    return amin(net, input, dim, keepdim), amax(net, input, dim, keepdim)


@handles(torch.prod)
def product(
    net: Emitter,
    input: Symbol,
    dim: Axes = None,
    keepdim: bool = False,
    dtype: torch.dtype | None = None,
) -> Symbol:
    return reduced(net, ReduceOp.PROD, input, dim, keepdim, dtype)


@handles(torch.any)
def any_of(net: Emitter, input: Symbol, dim: Axes = None, keepdim: bool = False) -> Symbol:
    return reduced(net, ReduceOp.MAX, nonzero(net, input, "nonzero"), dim, keepdim)


@handles(torch.all)
def all_of(net: Emitter, input: Symbol, dim: Axes = None, keepdim: bool = False) -> Symbol:
    """Compute all as not any(x == 0)."""
    zero = opposite(net, nonzero(net, input, "nonzero"), "zero")
    found = reduced(net, ReduceOp.MAX, zero, dim, keepdim, suffix="has_zero")
    return opposite(net, found)


@handles(torch.count_nonzero)
def count_nonzero(net: Emitter, input: Symbol, dim: Axes = None) -> Symbol:
    return reduced(net, ReduceOp.SUM, nonzero(net, input, "nonzero"), dim)


@handles(torch.trace)
def trace(net: Emitter, input: Symbol) -> Symbol:
    return reduced(net, ReduceOp.SUM, rearrange(net, input, torch.diagonal), 0)


@handles(torch.norm)
def norm(
    net: Emitter,
    input: Symbol,
    p: float | str | None = "fro",
    dim: Axes = None,
    keepdim: bool = False,
    dtype: torch.dtype | None = None,
) -> Symbol:
    """Compute the norm of all elements as one vector, whatever the rank; p="fro" means 2."""
    if isinstance(p, str) and p != "fro":
        raise Refused(f"needs the norm of a vector, got p={p!r}")
    return normed(net, input, 2.0 if isinstance(p, str | None) else p, dim, keepdim, dtype)


@handles(torch.linalg.vector_norm)
def vector_norm(
    net: Emitter,
    x: Symbol,
    ord: float = 2,
    dim: Axes = None,
    keepdim: bool = False,
    dtype: torch.dtype | None = None,
) -> Symbol:
    return normed(net, x, ord, dim, keepdim, dtype)


@handles(torch.linalg.norm)
def linalg_norm(
    net: Emitter,
    A: Symbol,
    ord: float | str | None = None,
    dim: Axes = None,
    keepdim: bool = False,
    dtype: torch.dtype | None = None,
) -> Symbol:
    """Compute the norm of a vector, or of a matrix where two axes are reduced."""
    count = len(axes_of(dim, A))
    if ord is None or (count == 1 and not isinstance(ord, str)):
        return normed(net, A, 2.0 if ord is None else float(ord), dim, keepdim, dtype)
    return matrix_norm(net, A, ord, (-2, -1) if dim is None else dim, keepdim, dtype)


@handles(torch.linalg.matrix_norm)
def matrix_norm(
    net: Emitter,
    A: Symbol,
    ord: float | str = "fro",
    dim: Axes = (-2, -1),
    keepdim: bool = False,
    dtype: torch.dtype | None = None,
) -> Symbol:
    """Compute the Frobenius norm, or the extreme sum of magnitudes over rows or columns."""
    if ord == "fro":
        return normed(net, A, 2.0, dim, keepdim, dtype)
    if ord not in (1, -1, inf, -inf) or not isinstance(dim, Sequence):
        raise Refused(f"needs a norm without singular values ('fro', 1, infinity), got {ord!r}")
    rows, columns = (positive(axis, A.rank) for axis in dim)
    inner, outer = (rows, columns) if abs(float(ord)) == 1 else (columns, rows)
    sums = reduced(net, ReduceOp.ASUM, A, inner, True, dtype, "sums")
    extreme = amax if float(ord) > 0 else amin
    found = extreme(net, sums, outer, True)
    gone = (rows, columns)
    if keepdim:
        return found
    return viewed(net, found, lambda s: tuple(n for a, n in enumerate(s) if a not in gone))


def normed(
    net: Emitter,
    input: Symbol,
    order: float,
    dim: Axes,
    keepdim: bool | None,
    dtype: torch.dtype | None = None,
    suffix: str = "",
) -> Symbol:
    """Compute a norm of any order; keepdim None leaves the axes as `statistic` does."""
    op = _NORMS.get(order, ReduceOp.SUM)
    if keepdim is None:
        keepdim = leaves_ones(op, axes_of(dim, input), input.rank)
    if order == 0:
        return reduced(net, op, nonzero(net, input, "nonzero"), dim, keepdim, dtype, suffix)
    if op in (ReduceOp.MAX, ReduceOp.SUM):
        input = net.add(AbsVal(), input, suffix="abs")
    if order == -inf:
        return amin(net, input, dim, keepdim)
    if op in (ReduceOp.MAX, ReduceOp.ASUM):
        return reduced(net, op, input, dim, keepdim, dtype, suffix)
    if op is ReduceOp.SUM:
        input = net.add(Power(power=order), input, suffix="powers")
    total = reduced(net, op, input, dim, keepdim, dtype, "total")
    return net.add(Power(power=1 / order), total, suffix=suffix)


_NORMS = {1: ReduceOp.ASUM, 2: ReduceOp.SUMSQ, inf: ReduceOp.MAX}


@handles(torch.renorm)
def renorm(net: Emitter, input: Symbol, p: float, dim: int, maxnorm: float) -> Symbol:
    """Scale each slice along `dim` whose norm exceeds maxnorm by maxnorm / (norm + 1e-7)."""
    axis = positive(dim, input.rank)
    others = tuple(a for a in range(input.rank) if a != axis)
    size = normed(net, input, p, others, True, suffix="norm")
    inverse = net.add(Power(power=-1, shift=1e-7), size, suffix="inverse")
    less = net.add(Power(scale=maxnorm, shift=-1), inverse, suffix="excess")
    is_larger = above(net, size, maxnorm, "is_larger")
    chosen = net.add(PRODUCT, less, is_larger, suffix="selected")
    factor = net.add(Power(shift=1), chosen, suffix="factor")
    return net.add(Binary(op=BinaryOp.MUL), input, factor)


@handles(torch.var)
def var(
    net: Emitter,
    input: Symbol,
    dim: Axes = None,
    unbiased: bool = True,
    keepdim: bool = False,
    correction: float | None = None,
    suffix: str = "",
) -> Symbol:
    """Compute sum((x - mean)^2) / (n - correction)."""
    dim, unbiased = _dim_or_unbiased(dim, unbiased)
    axes = axes_of(dim, input)
    less = float(unbiased) if correction is None else correction
    divisor = prod(input.static_size(axis) for axis in axes) - less
    if divisor <= 0:
        raise Refused(f"needs more than {less} elements for each result, got {divisor + less}")
    centre = kept(net, statistic(net, ReduceOp.MEAN, input, axes, "mean"), input, axes)
    centred = net.add(Binary(op=BinaryOp.ADD, coeff=(1.0, -1.0)), input, centre, suffix="centred")
    squares = reduced(net, ReduceOp.SUMSQ, centred, axes, keepdim, suffix="squares")
    return net.add(Power(scale=1 / divisor), squares, suffix=suffix)


def _dim_or_unbiased(dim: Axes, unbiased: bool) -> tuple[Axes, bool]:
    """Return dim and unbiased in order: in x.var(False) the first argument is `unbiased`."""
    return (None, dim) if isinstance(dim, bool) else (dim, unbiased)


@handles(torch.std)
def std(
    net: Emitter,
    input: Symbol,
    dim: Axes = None,
    unbiased: bool = True,
    keepdim: bool = False,
    correction: float | None = None,
) -> Symbol:
    variance = var(net, input, dim, unbiased, keepdim, correction, suffix="variance")
    return net.add(Power(power=0.5), variance)


@handles(torch.var_mean)
def var_mean(
    net: Emitter,
    input: Symbol,
    dim: Axes = None,
    unbiased: bool = True,
    keepdim: bool = False,
    correction: float | None = None,
) -> tuple[Symbol, Symbol]:
    dim, unbiased = _dim_or_unbiased(dim, unbiased)
    found = var(net, input, dim, unbiased, keepdim, correction)
    return found, mean(net, input, dim, keepdim)


@handles(torch.std_mean)
def std_mean(
    net: Emitter,
    input: Symbol,
    dim: Axes = None,
    unbiased: bool = True,
    keepdim: bool = False,
    correction: float | None = None,
) -> tuple[Symbol, Symbol]:
    dim, unbiased = _dim_or_unbiased(dim, unbiased)
    found = std(net, input, dim, unbiased, keepdim, correction)
    return found, mean(net, input, dim, keepdim)


def reduced(
    net: Emitter,
    op: ReduceOp,
    input: Symbol,
    dim: Axes,
    keepdim: bool = False,
    dtype: torch.dtype | None = None,
    suffix: str = "",
) -> Symbol:
    """Reduce over some axes; None and () mean all."""
    input = cast_first(net, input, dtype)
    axes = axes_of(dim, input)
    if not axes:  # a scalar is its own sum, but not its own norm
        return net.add(INNER.get(op, Power()), input, suffix=suffix)
    return net.add(Reduce(op=op, axes=axes, keepdim=keepdim), input, suffix=suffix)


def statistic(net: Emitter, op: ReduceOp, input: Symbol, dim: Axes, suffix: str) -> Symbol:
    """Reduce for a later `kept`: the axes are kept or dropped, whichever takes no extra layer."""
    keepdim = leaves_ones(op, axes_of(dim, input), input.rank)
    return reduced(net, op, input, dim, keepdim, suffix=suffix)


def kept(net: Emitter, top: Symbol, input: Symbol, dim: Axes) -> Symbol:
    """Reshape a reduction of `input` to axes of size 1, so that it broadcasts against `input`."""
    axes = axes_of(dim, input)
    like = Reduce(op=ReduceOp.SUM, axes=axes, keepdim=True)
    shape, other = (like.top_shapes([sizes], 1)[0] for sizes in (input.shape, input.other_shape))
    return reshaped(net, top, shape, other, suffix="keepdim")
