"""Casts: blobs are float32 whatever torch's dtype is, so most casts change no element."""

from __future__ import annotations

import torch
from torch import Tensor

from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.blocks import inside, nonzero
from fx2caffe.ops.rounding import trunc


@handles(Tensor.to)
def to(net: Emitter, input: Symbol, dtype: torch.dtype) -> Symbol:
    """Cast a tensor: floats to integers by truncation, anything to masks by comparing with 0."""
    if dtype is torch.bool:
        return nonzero(net, input)
    if dtype.is_complex:
        raise Refused(f"needs real numbers, got {dtype}")
    if input.dtype is torch.bool or dtype in (torch.float32, torch.float64):
        return input
    if dtype.is_floating_point:
        raise Refused(f"needs the precision of float32, got {dtype}, which rounds")
    return trunc(net, input) if input.dtype.is_floating_point else input


def cast_first(net: Emitter, input: Symbol, dtype: torch.dtype | None) -> Symbol:
    """Cast the operand of a function that casts it to `dtype` before it computes."""
    if dtype in (None, torch.float32, torch.float64):
        return input
    if dtype is None or dtype.is_floating_point or dtype.is_complex or dtype is torch.bool:
        raise Refused(f"needs a result in float32, got dtype {dtype}")
    return inside(net, "cast", to, input, dtype)
