"""Sums, means, maxima and norms over any axes."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, prod
from typing import Any

import torch

from caffe2fx.layers import AbsVal, Power
from fx2caffe.emit import Emitter, Refused, Symbol
from fx2caffe.legalize.binary import Binary, BinaryOp
from fx2caffe.legalize.reduce import Reduce, ReduceOp, leaves_ones
from fx2caffe.lower import handles
from fx2caffe.ops.arguments import axes_of
from fx2caffe.ops.elementwise import maximum, minimum
from fx2caffe.reshaping import reshaped

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
    """-max(-x)."""
    negative = net.add(Power(scale=-1), input, role="negative")
    return net.add(Power(scale=-1), reduced(net, ReduceOp.MAX, negative, dim, keepdim, role="max"))


@handles(torch.max)
def largest(net: Emitter, input: Symbol, dim: Any = None, keepdim: bool = False) -> Symbol:
    """Of all numbers, or of two tensors."""
    if dim is None:
        return amax(net, input)
    _check_second(dim, "amax")
    return maximum(net, input, dim)


@handles(torch.min)
def smallest(net: Emitter, input: Symbol, dim: Any = None, keepdim: bool = False) -> Symbol:
    """Of all numbers, or of two tensors."""
    if dim is None:
        return amin(net, input)
    _check_second(dim, "amin")
    return minimum(net, input, dim)


def _check_second(other: Any, instead: str) -> None:
    if isinstance(other, int):
        raise Refused(f"needs no indices, which torch.{instead} does not give, got dim {other}")


@handles(torch.norm)
def norm(
    net: Emitter,
    input: Symbol,
    p: float | str | None = "fro",
    dim: Axes = None,
    keepdim: bool = False,
    dtype: torch.dtype | None = None,
) -> Symbol:
    """Of all numbers as one vector, whatever the rank: p="fro" means 2."""
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


def normed(
    net: Emitter,
    input: Symbol,
    order: float,
    dim: Axes,
    keepdim: bool | None,
    dtype: torch.dtype | None = None,
    role: str = "",
) -> Symbol:
    """The norm of order 1, 2 or infinity; keepdim None leaves the axes as a `statistic` does."""
    if order not in _NORMS:
        raise Refused(f"needs an order of 1, 2 or infinity, got {order}")
    op = _NORMS[order]
    if keepdim is None:
        keepdim = leaves_ones(op, axes_of(dim, input), input.rank)
    if op is ReduceOp.MAX:
        input = net.add(AbsVal(), input, role="abs")
    if op is not ReduceOp.SUMSQ:
        return reduced(net, op, input, dim, keepdim, dtype, role)
    squares = reduced(net, op, input, dim, keepdim, dtype, "squares")
    return net.add(Power(power=0.5), squares, role=role)


_NORMS = {1: ReduceOp.ASUM, 2: ReduceOp.SUMSQ, inf: ReduceOp.MAX}


@handles(torch.var)
def var(
    net: Emitter,
    input: Symbol,
    dim: Axes = None,
    unbiased: bool = True,
    keepdim: bool = False,
    correction: float | None = None,
    role: str = "",
) -> Symbol:
    """sum((x - mean)^2) / (n - correction)."""
    axes = axes_of(dim, input)
    less = float(unbiased) if correction is None else correction
    divisor = prod(input.fixed(axis) for axis in axes) - less
    if divisor <= 0:
        raise Refused(f"needs more than {less} numbers to each result, got {divisor + less}")
    centre = kept(net, statistic(net, ReduceOp.MEAN, input, axes, "mean"), input, axes)
    centred = net.add(Binary(op=BinaryOp.ADD, coeff=(1.0, -1.0)), input, centre, role="centred")
    squares = reduced(net, ReduceOp.SUMSQ, centred, axes, keepdim, role="squares")
    return net.add(Power(scale=1 / divisor), squares, role=role)


@handles(torch.std)
def std(
    net: Emitter,
    input: Symbol,
    dim: Axes = None,
    unbiased: bool = True,
    keepdim: bool = False,
    correction: float | None = None,
) -> Symbol:
    variance = var(net, input, dim, unbiased, keepdim, correction, role="variance")
    return net.add(Power(power=0.5), variance)


def reduced(
    net: Emitter,
    op: ReduceOp,
    input: Symbol,
    dim: Axes,
    keepdim: bool = False,
    dtype: torch.dtype | None = None,
    role: str = "",
) -> Symbol:
    """A reduction over some axes; None and () mean all."""
    if dtype not in (None, torch.float32, torch.float64):
        raise Refused(f"needs a result in float32, got dtype {dtype}")
    axes = axes_of(dim, input)
    if not axes:  # a scalar is its own sum
        return net.add(Power(), input, role=role)
    return net.add(Reduce(op=op, axes=axes, keepdim=keepdim), input, role=role)


def statistic(net: Emitter, op: ReduceOp, input: Symbol, dim: Axes, role: str) -> Symbol:
    """A reduction to be reshaped with `kept`; its axes stay or go, whichever takes no layer."""
    keepdim = leaves_ones(op, axes_of(dim, input), input.rank)
    return reduced(net, op, input, dim, keepdim, role=role)


def kept(net: Emitter, top: Symbol, input: Symbol, dim: Axes) -> Symbol:
    """What a reduction of `input` gave, with axes of 1 where it reduced: broadcasts against it."""
    axes = axes_of(dim, input)
    like = Reduce(op=ReduceOp.SUM, axes=axes, keepdim=True)
    shape, other = (like.top_shapes([sizes], 1)[0] for sizes in (input.shape, input.other))
    return reshaped(net, top, shape, other, role="kept")
