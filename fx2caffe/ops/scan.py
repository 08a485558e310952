"""Cumulative functions along an axis: running sums, products and extremes; differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from caffe2fx.layers import (
    BNLL,
    AbsVal,
    Concat,
    Eltwise,
    EltwiseOp,
    Pooling,
    Power,
    Scale,
    Slice,
    Threshold,
)
from fx2caffe.ir.axis_matrix import AxisMatrix
from fx2caffe.ir.constants import as_symbol
from fx2caffe.ir.data_movement import rearrange
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.gather import DENSE
from fx2caffe.ir.index_map import index_map
from fx2caffe.ir.reduce import ReduceOp
from fx2caffe.ir.reshape import reshaped, viewed
from fx2caffe.ir.symbol import Operand, Refused, Symbol
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.arguments import positive
from fx2caffe.ops.blocks import difference, negated, opposite, product, weighted_sum
from fx2caffe.ops.cast import cast_first
from fx2caffe.ops.reduction import reduced

Combine = Callable[[Emitter, Symbol, Symbol], Symbol]
MINUS = Eltwise(coeff=(1.0, -1.0))


def along_axis(
    net: Emitter, input: Symbol, axis: int, linear: Callable[[Tensor], Tensor], suffix: str = ""
) -> Symbol:
    """Apply a linear function along an axis, as found by running it on an identity matrix.

    `linear` takes vectors as rows and returns as many rows; a 1-D result removes the axis.
    """
    unit = torch.eye(input.static_size(axis), dtype=torch.float64)
    matrix = linear(unit).reshape(len(unit), -1).t().contiguous()
    return net.add(AxisMatrix(axis=axis, rows=len(matrix)), input, blobs=[matrix], suffix=suffix)


def running(net: Emitter, input: Symbol, axis: int, combine: Combine) -> Symbol:
    """Combine each element with all before it, in log2(size) doubling steps.

    before: a b c d        after: a, a+b, b+c, c+d        then: a, a+b, a+b+c, a+b+c+d
    """
    size, step = input.static_size(axis), 1
    while step < size:
        head, late = _cut(net, input, axis, step)
        early, _ = _cut(net, input, axis, size - step)
        input = net.add(Concat(axis=axis), head, combine(net, early, late), suffix="running")
        step *= 2
    return input


def _cut(net: Emitter, input: Symbol, axis: int, point: int) -> tuple[Symbol, ...]:
    return net.add_many(Slice(axis=axis, slice_point=(point,)), input, suffix="cut", tops=2)


def _eltwise(operation: EltwiseOp) -> Combine:
    return lambda net, one, two: net.add(Eltwise(operation=operation), one, two, suffix="combined")


_SUM, _PROD, _MAX = map(_eltwise, (EltwiseOp.SUM, EltwiseOp.PROD, EltwiseOp.MAX))


def _line(net: Emitter, input: Symbol, dim: int) -> tuple[Symbol, int]:
    """Return the input with at least one axis, and the axis meant."""
    line = viewed(net, input, lambda s: s or (1,), suffix="flat")
    return line, positive(dim, line.rank)


@handles(torch.cumsum)
def cumsum(
    net: Emitter, input: Symbol, dim: int, dtype: torch.dtype | None = None, *, out: Expected
) -> Symbol:
    line, axis = _line(net, cast_first(net, input, dtype), dim)
    top = running_sum(net, line, axis)
    return reshaped(net, top, out.shape, out.other_shape)


def running_sum(net: Emitter, input: Symbol, axis: int, suffix: str = "") -> Symbol:
    """Add to each element all before it: by a triangular matrix of ones, if not too large."""
    if input.static_size(axis) ** 2 > DENSE:
        return running(net, input, axis, _SUM)
    return along_axis(net, input, axis, lambda rows: rows.cumsum(1), suffix)


@handles(torch.cumprod)
def cumprod(
    net: Emitter, input: Symbol, dim: int, dtype: torch.dtype | None = None, *, out: Expected
) -> Symbol:
    line, axis = _line(net, cast_first(net, input, dtype), dim)
    return reshaped(net, running(net, line, axis, _PROD), out.shape, out.other_shape)


@handles(torch.logcumsumexp)
def logcumsumexp(net: Emitter, input: Symbol, dim: int, *, out: Expected) -> Symbol:
    """Combine pairs as max(a, b) + log(1 + exp(-|a - b|)), which neither over- nor underflows."""
    line, axis = _line(net, input, dim)
    return reshaped(net, running(net, line, axis, _log_add_exp), out.shape, out.other_shape)


def _log_add_exp(net: Emitter, one: Symbol, two: Symbol) -> Symbol:
    distance = net.add(AbsVal(), net.add(MINUS, one, two, suffix="difference"), suffix="distance")
    rest = net.add(BNLL(), negated(net, distance, "nearness"), suffix="softplus")
    return net.add(Eltwise(), _MAX(net, one, two), rest, suffix="combined")


@handles(torch.cummax)
def cummax(net: Emitter, input: Symbol, dim: int) -> tuple[Symbol, Symbol]:
    line, axis = _line(net, input, dim)
    values = running_maximum(net, line, axis)
    return _as_input(net, input, values, _last_best(net, line, values, axis))


@handles(torch.cummin)
def cummin(net: Emitter, input: Symbol, dim: int) -> tuple[Symbol, Symbol]:
    line, axis = _line(net, negated(net, input, "negative"), dim)
    values = running_maximum(net, line, axis)
    best = _last_best(net, line, values, axis)
    return _as_input(net, input, net.add(Power(scale=-1), values), best)


def _as_input(net: Emitter, input: Symbol, *tops: Symbol) -> tuple[Symbol, Symbol]:
    one, two = (reshaped(net, top, input.shape, input.other_shape) for top in tops)
    return one, two


def running_maximum(net: Emitter, line: Symbol, axis: int) -> Symbol:
    """Compute the running maximum by a window of the axis' size; max pooling ignores the pads."""
    size = line.static_size(axis)
    image = viewed(net, line, lambda s: (prod(s[:axis]), 1, size, prod(s[axis + 1 :])), "image")
    layer = Pooling(kernel_h=size, kernel_w=1, stride_h=1, stride_w=1, pad_h=size - 1, pad_w=0)
    passed = net.add(layer, image, suffix="maximum")
    following = index_map(net, passed, {2: range(size)}, suffix="shifted")
    return reshaped(net, following, line.shape, line.other_shape, suffix="prefix_maximum")


def _last_best(net: Emitter, line: Symbol, best: Symbol, axis: int) -> Symbol:
    """Return the last index at which the running maximum was seen."""
    below = net.add(MINUS, best, line, suffix="difference")
    exceeds = net.add(Threshold(), below, suffix="exceeds")
    is_best = opposite(net, exceeds, "is_best")
    indices = torch.arange(line.static_size(axis))
    marked = net.add(Scale(axis=axis, num_axes=1), is_best, blobs=[indices], suffix="indices")
    return running_maximum(net, marked, axis)


@handles(torch.diff)
def diff(
    net: Emitter,
    input: Symbol,
    n: int = 1,
    dim: int = -1,
    prepend: Operand | None = None,
    append: Operand | None = None,
) -> Symbol:
    axis = positive(dim, input.rank)
    parts = [prepend, input, append]
    given = [as_symbol(net, part, suffix="end") for part in parts if part is not None]
    if len(given) > 1:
        input = net.add(Concat(axis=axis), *given, suffix="extended")
    for _ in range(min(n, input.shape[axis])):
        input = _steps(net, input, axis)
    return input


def _steps(net: Emitter, input: Symbol, axis: int, suffix: str = "") -> Symbol:
    """Subtract from each element of an axis the one before it."""
    late, early = _neighbours(net, input, axis)
    return difference(net, late, early, suffix)


def _neighbours(net: Emitter, input: Symbol, axis: int) -> tuple[Symbol, Symbol]:
    late = rearrange(net, input, lambda x: x.narrow(axis, 1, x.shape[axis] - 1))
    return late, rearrange(net, input, lambda x: x.narrow(axis, 0, x.shape[axis] - 1))


@handles(torch.trapezoid, torch.trapz)
def trapezoid(
    net: Emitter,
    y: Operand,
    x: Operand | None = None,
    *,
    dx: float = 1,
    dim: int = -1,
    out: Expected,
) -> Symbol:
    if isinstance(y, Symbol) and _is_line(x):
        whole = along_axis(net, y, positive(dim, y.rank), _over(torch.trapezoid, x, dx))
        return reshaped(net, whole, out.shape, out.other_shape)
    areas = _areas(net, as_symbol(net, y, suffix="y"), as_symbol(net, x, suffix="x"), dim)
    return reduced(net, ReduceOp.SUM, areas, dim)


@handles(torch.cumulative_trapezoid)
def cumulative_trapezoid(
    net: Emitter,
    y: Operand,
    x: Operand | None = None,
    *,
    dx: float = 1,
    dim: int = -1,
    out: Expected,
) -> Symbol:
    if isinstance(y, Symbol) and _is_line(x):
        axis = positive(dim, y.rank)
        return along_axis(net, y, axis, _over(torch.cumulative_trapezoid, x, dx))
    areas = _areas(net, as_symbol(net, y, suffix="y"), as_symbol(net, x, suffix="x"), dim)
    return cumsum(net, areas, dim, out=out)


def _is_line(x: Operand | None) -> bool:
    """Return whether the sample positions are constant and the same for all vectors."""
    return x is None or (isinstance(x, Tensor) and x.dim() == 1)


def _over(integral: Callable[..., Tensor], x: Any, dx: float) -> Callable[[Tensor], Tensor]:
    if x is None:
        return lambda rows: integral(rows, dx=dx, dim=1)
    return lambda rows: integral(rows, x.double(), dim=1)


def _areas(net: Emitter, y: Symbol, x: Symbol, dim: int) -> Symbol:
    """Compute the mean of each two neighbours, times their distance."""
    if x.rank == 1:
        x = viewed(net, x, lambda s: (*s, *(1,) * (y.rank - 1 - positive(dim, y.rank))))
    total = weighted_sum(net, *_neighbours(net, y, positive(dim, y.rank)), (0.5, 0.5), "means")
    steps = _steps(net, x, x.rank - y.rank + positive(dim, y.rank), "steps")
    return product(net, total, steps, "areas")


@handles(torch.gradient)
def gradient(
    net: Emitter,
    input: Symbol,
    *,
    spacing: Any = 1,
    dim: int | Sequence[int] | None = None,
    edge_order: int = 1,
) -> tuple[Symbol, ...]:
    """Compute central differences, a linear function along each axis."""
    axes = range(input.rank) if dim is None else (dim,) if isinstance(dim, int) else dim
    spacing = 1 if spacing is None else spacing
    spaces = spacing if isinstance(spacing, tuple | list) else [spacing] * len(axes)
    if any(isinstance(space, Symbol) for space in spaces):
        raise Refused("needs a constant spacing, got one that depends on the input")
    return tuple(
        along_axis(net, input, positive(axis, input.rank), _slopes(space, edge_order))
        for axis, space in zip(axes, spaces, strict=True)
    )


def _slopes(space: Any, edge_order: int) -> Callable[[Tensor], Tensor]:
    given = [space.double()] if isinstance(space, Tensor) and space.dim() else float(space)
    return lambda rows: torch.gradient(rows, spacing=given, dim=1, edge_order=edge_order)[0]
