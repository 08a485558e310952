"""softmax, log_softmax and logsumexp."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from caffe2fx import compat
from caffe2fx.layers import Exp, Log, Softmax
from fx2caffe.ir.binary import Binary, BinaryOp
from fx2caffe.ir.constants import LARGEST
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.finite import may_be_infinite
from fx2caffe.ir.reduce import ReduceOp
from fx2caffe.ir.reshape import reshaped
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.arguments import positive
from fx2caffe.ops.blocks import above, affine, product
from fx2caffe.ops.reduction import kept, statistic

PLUS = Binary(op=BinaryOp.ADD)
MINUS = Binary(op=BinaryOp.ADD, coeff=(1.0, -1.0))


@handles(F.softmax)
def softmax(
    net: Emitter, input: Symbol, dim: int | None = None, dtype: torch.dtype | None = None
) -> Symbol:
    return net.add(Softmax(axis=_axis(input, dim, dtype)), input)


@handles(compat.SAFE_SOFTMAX)
def safe_softmax(net: Emitter, input: Symbol, dim: int, dtype: torch.dtype | None = None) -> Symbol:
    """Compute softmax, and 0 where a vector is all -inf, of which Softmax would make NaN."""
    if not may_be_infinite(net, input, inputs=True):
        return softmax(net, input, dim, dtype)
    half = affine(net, input, 0.5, suffix="half")  # half of a finite element is above half of -inf
    finite = above(net, half, -0.75 * LARGEST, "is_finite")
    any_finite = _largest(net, finite, _axis(input, dim, dtype))
    lift = net.add(Log(scale=-1, shift=1), any_finite, suffix="lift")
    raised = net.add(Binary(op=BinaryOp.MAX), input, lift, suffix="maximum")
    shares = net.add(Softmax(axis=_axis(input, dim, dtype)), raised, suffix="shares")
    return product(net, shares, any_finite)


@handles(F.log_softmax)
def log_softmax(
    net: Emitter, input: Symbol, dim: int | None = None, dtype: torch.dtype | None = None
) -> Symbol:
    """Compute (x - max) - log(sum(exp(x - max))); the log of a Softmax that is 0 would be -inf."""
    axis = _axis(input, dim, dtype)
    shifted = net.add(MINUS, input, _largest(net, input, axis), suffix="shifted")
    return net.add(MINUS, shifted, _log_sum_exp(net, shifted, axis))


@handles(torch.logsumexp)
def logsumexp(
    net: Emitter,
    input: Symbol,
    dim: int | Sequence[int],
    keepdim: bool = False,
    *,
    out: Expected,
) -> Symbol:
    return reshaped(net, log_sum_exp(net, input, dim), out.shape, out.other_shape)


def log_sum_exp(net: Emitter, input: Symbol, dim: int | Sequence[int]) -> Symbol:
    """Compute max + log(sum(exp(x - max))), with axes of size 1 where it reduces."""
    largest = _largest(net, input, dim)
    shifted = net.add(MINUS, input, largest, suffix="shifted")
    return net.add(PLUS, largest, _log_sum_exp(net, shifted, dim), suffix="sum")


def _largest(net: Emitter, input: Symbol, dim: int | Sequence[int]) -> Symbol:
    return kept(net, statistic(net, ReduceOp.MAX, input, dim, "max"), input, dim)


def _log_sum_exp(net: Emitter, shifted: Symbol, dim: int | Sequence[int]) -> Symbol:
    total = statistic(net, ReduceOp.SUM, net.add(Exp(), shifted, suffix="exp"), dim, "sum")
    return kept(net, net.add(Log(), total, suffix="log"), shifted, dim)


def _axis(input: Symbol, dim: int | None, dtype: torch.dtype | None) -> int:
    if dim is None:
        raise Refused("needs dim, got None")
    if dtype not in (None, torch.float32, torch.float64):
        raise Refused(f"needs a result in float32, got dtype {dtype}")
    return positive(dim, input.rank)
