"""Arithmetic between tensors, and of tensors with constants."""

from __future__ import annotations

import torch
from torch import Tensor

from caffe2fx.layers import Bias, Eltwise, Power
from fx2caffe.emit import Emitter, Refused, Symbol
from fx2caffe.lower import handles
from fx2caffe.ops.constant import as_float32

Operand = Symbol | Tensor | float | int


@handles(torch.add)
def add(net: Emitter, input: Operand, other: Operand, alpha: float = 1) -> Symbol:
    if not isinstance(input, Symbol):
        return _sum(net, [(other, alpha), (input, 1)])
    return _sum(net, [(input, 1), (other, alpha)])


@handles(torch.sub)
def sub(net: Emitter, input: Operand, other: Operand, alpha: float = 1) -> Symbol:
    if not isinstance(input, Symbol):
        return _sum(net, [(other, -alpha), (input, 1)])
    return _sum(net, [(input, 1), (other, -alpha)])


def _sum(net: Emitter, terms: list[tuple[Operand, float]]) -> Symbol:
    """A weighted sum; the first term is a Symbol."""
    (first, one), (second, two) = terms
    assert isinstance(first, Symbol)
    if isinstance(second, Symbol):
        if (first.shape, first.other) != (second.shape, second.other):
            raise Refused(f"needs two tensors of one shape, got {first.shape} and {second.shape}")
        return net.add(Eltwise(coeff=(float(one), float(two))), first, second)
    constant = as_float32(second) * two
    if constant.numel() == 1 and constant.dim() <= first.rank:
        return net.add(Power(scale=float(one), shift=float(constant)), first)
    if one != 1:
        first = net.add(Power(scale=float(one)), first, role="scaled")
    run = run_of(constant, first)
    return net.add(Bias(axis=run[0], num_axes=run[1].dim()), first, blobs=[run[1]])


def run_of(constant: Tensor, input: Symbol) -> tuple[int, Tensor]:
    """A constant that broadcasts against `input` as a run of its axes: first axis and blob."""
    if constant.dim() > input.rank:
        raise Refused(
            f"needs a constant of rank <= {input.rank}, got one of shape {tuple(constant.shape)}"
        )
    full = constant.reshape((1,) * (input.rank - constant.dim()) + tuple(constant.shape))
    used = [axis for axis, size in enumerate(full.shape) if size != 1]
    first, last = used[0], used[-1]
    sizes = [input.fixed(axis) for axis in range(first, last + 1)]
    if any(size not in (1, wide) for size, wide in zip(full.shape[first:], sizes, strict=False)):
        raise Refused(
            f"needs a constant that fits {input.shape}, got one of shape {tuple(constant.shape)}"
        )
    return first, full.reshape(full.shape[first : last + 1]).expand(sizes).contiguous()
