"""Fake quantization: elements are rounded to the steps of a range and stay floating point.

torch computes q = clamp(nearbyint(x * (1 / scale)) + zero_point) in float32, then
(q - zero_point) * scale. The bounds of the nearest integer, quant_min - zero_point and quant_max -
zero_point, are integers themselves: so x * (1 / scale) is clipped to them first, which changes
neither ties nor results and leaves values small enough to round by one addition.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from fx2caffe.ir import graph_functions
from fx2caffe.ir.binary import BinaryOp
from fx2caffe.ir.constants import as_float32
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.arguments import constant, positive
from fx2caffe.ops.blocks import clipped, extreme, rounded, times

LARGEST_STEP = 1 << 22  # up to which `rounded` is exact


@handles(torch.fake_quantize_per_tensor_affine)
def fake_quantize_per_tensor_affine(
    net: Emitter, input: Symbol, scale: Any, zero_point: Any, quant_min: int, quant_max: int
) -> Symbol:
    one, zero = (_of_tensor(name, v) for name, v in (("scale", scale), ("zero_point", zero_point)))
    return _stepped(net, input, one.reshape(()), zero.reshape(()), quant_min, quant_max)


@handles(graph_functions.fake_quantize_per_channel_affine)
def fake_quantize_per_channel_affine(
    net: Emitter,
    input: Symbol,
    scale: Any,
    zero_point: Any,
    axis: int,
    quant_min: int,
    quant_max: int,
) -> Symbol:
    along = (-1, *(1,) * (input.rank - 1 - positive(axis, input.rank)))
    each = constant("scale", scale).reshape(along)
    zeros = constant("zero_point", zero_point).reshape(along)
    return _stepped(net, input, each, zeros, quant_min, quant_max)


def _with_mask(handler: Callable[..., Symbol]) -> Callable[..., tuple[Symbol, None]]:
    """Return a handler that gives no mask of what was not clipped, which only gradients read."""

    @wraps(handler)
    def both(*args: Any, **kwargs: Any) -> tuple[Symbol, None]:
        return handler(*args, **kwargs), None

    return both


handles(torch.ops.aten.fake_quantize_per_tensor_affine_cachemask.default)(
    _with_mask(fake_quantize_per_tensor_affine)
)
handles(graph_functions.fake_quantize_per_channel_with_mask)(
    _with_mask(fake_quantize_per_channel_affine)
)


@handles(torch._fake_quantize_per_tensor_affine_cachemask_tensor_qparams)
@_with_mask
def fake_quantize_by_tensors(
    net: Emitter,
    input: Symbol,
    scale: Any,
    zero_point: Any,
    fake_quant_enabled: Any,
    quant_min: int,
    quant_max: int,
) -> Symbol:
    """Return the input where the switch is 0."""
    if not bool(constant("fake_quant_enabled", fake_quant_enabled)):
        return input
    return fake_quantize_per_tensor_affine(net, input, scale, zero_point, quant_min, quant_max)


def _of_tensor(name: str, value: Any) -> Tensor:
    return constant(name, value if isinstance(value, Symbol | Tensor) else torch.as_tensor(value))


def _stepped(
    net: Emitter, input: Symbol, scale: Tensor, zero_point: Tensor, least: int, most: int
) -> Symbol:
    """Round each element to the nearest step, ties to even."""
    if zero_point.is_floating_point():
        raise Refused(f"needs a zero_point of integers, got {zero_point.dtype}")
    step = as_float32(scale)
    per_step = 1 / step
    if not bool(((step > 0) & per_step.isfinite() & (per_step > 0)).all()):
        raise Refused(f"needs scales above 0 with a finite inverse, got {scale.flatten().tolist()}")
    low, high = least - zero_point.long(), most - zero_point.long()
    furthest = int(torch.maximum(low.abs(), high.abs()).max())
    if furthest >= LARGEST_STEP:
        raise Refused(f"needs steps below 2^22 from the zero_point, got {furthest}")
    steps = times(net, input, per_step, suffix="steps")
    within = _within(net, steps, low, high)
    return times(net, rounded(net, within, suffix="rounded"), step)


def _within(net: Emitter, steps: Symbol, low: Tensor, high: Tensor) -> Symbol:
    """Clip to bounds, which are one pair or a pair for each channel."""
    if bool((low == low.flatten()[0]).all()):
        return clipped(net, steps, float(low.flatten()[0]), float(high.flatten()[0]), "clipped")
    above = extreme(net, BinaryOp.MAX, steps, low, suffix="low")
    return extreme(net, BinaryOp.MIN, above, high, suffix="clipped")
