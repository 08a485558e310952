"""Shifts of integers, and powers of a constant by computed exponents: exact, from a table."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fx2caffe.ir.constants import as_float32
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Symbol
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.integer_magnitudes import LARGEST
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.arithmetic import power
from fx2caffe.ops.blocks import AnyOperand, affine, clipped, product
from fx2caffe.ops.division import floor_divide
from fx2caffe.ops.lookup import rows_of


@handles(torch.bitwise_left_shift)
def bitwise_left_shift(
    net: Emitter, input: AnyOperand, other: AnyOperand, *, out: Expected
) -> Symbol:
    """Compute input * 2^other for integers, 0 for a count that no dtype of that width has."""
    powers = [2.0**count for count in range(torch.iinfo(out.meta.dtype).bits)]
    return product(net, input, _looked_up(net, other, powers, 0.0))


@handles(torch.bitwise_right_shift)
def bitwise_right_shift(
    net: Emitter, input: AnyOperand, other: AnyOperand, *, out: Expected
) -> Symbol:
    """Compute floor(input / 2^other) for integers, by the widest shift for any other count."""
    limits = torch.iinfo(out.meta.dtype)
    powers = [2.0**count for count in range(limits.bits)]
    return floor_divide(net, input, _looked_up(net, other, powers, float(limits.max + 1)))


@handles(torch.pow)
def pow_of_any(net: Emitter, input: AnyOperand, exponent: AnyOperand, *, out: Expected) -> Symbol:
    """Compute input^exponent; that of a whole constant is looked up in a table, up to 2^24."""
    if out.meta.dtype.is_floating_point or not isinstance(exponent, Symbol):
        return power(net, input, exponent)
    base, powers = float(as_float32(input)), [1.0]
    while abs(powers[-1]) <= LARGEST:
        powers.append(powers[-1] * base)
    return _row(net, exponent, [0.0, *powers, powers[-1]])


def _looked_up(
    net: Emitter, count: AnyOperand, powers: Sequence[float], other: float
) -> Symbol | Tensor:
    """Return the power that a count shifts by; `other` for counts without one."""
    table = [other, *powers, other]
    if isinstance(count, Symbol):
        return _row(net, count, table)
    rows = torch.as_tensor(count).long().clamp(-1, len(powers)) + 1
    return torch.tensor(table)[rows]


def _row(net: Emitter, index: Symbol, table: Sequence[float]) -> Symbol:
    """Return table[index + 1], the first and last element for indices beyond."""
    within = clipped(net, index, -1, len(table) - 2, suffix="clipped")
    rows = affine(net, within, 1, 1, suffix="row")
    return rows_of(net, torch.tensor(table), rows, suffix="power")
