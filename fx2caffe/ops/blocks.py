"""Building blocks of elementwise functions: sums, products, steps, rounding, polynomials.

Each takes operands as torch's arithmetic does (a traced tensor, a constant tensor or a Python
number) and broadcasts them as torch does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor

from caffe2fx.layers import (
    BNLL,
    AbsVal,
    Bias,
    Clip,
    Concat,
    Eltwise,
    EltwiseOp,
    Exp,
    Power,
    ReLU,
    Scale,
    Sigmoid,
    Softmax,
    Threshold,
)
from caffe2fx.net.step import Step, Value
from fx2caffe.ir.binary import PRODUCT, Binary, BinaryOp
from fx2caffe.ir.constants import LARGEST, as_float32, as_symbol
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Operand, Refused, Symbol

AnyOperand = Operand | float | int  # also a Python number
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

MAXIMUM = Eltwise(operation=EltwiseOp.MAX)


def inside(
    net: Emitter,
    suffix: str,
    function: Callable[Concatenate[Emitter, Arguments], Result],
    *args: Arguments.args,
    **kwargs: Arguments.kwargs,
) -> Result:
    """Call another handler as part of this one; its layers' names contain `suffix`."""
    name, origin = net.scope
    with net.at(f"{name}/{suffix}", origin):
        return function(net, *args, **kwargs)


def side_by_side(net: Emitter, parts: Sequence[Symbol], axis: int, suffix: str = "") -> Symbol:
    """Concatenate the parts along an axis."""
    return parts[0] if len(parts) == 1 else net.add(Concat(axis=axis), *parts, suffix=suffix)


# Sums and products


def weighted_sum(
    net: Emitter,
    first: AnyOperand,
    second: AnyOperand,
    coeff: tuple[float, float] = (1.0, 1.0),
    suffix: str = "",
) -> Symbol:
    """Compute coeff[0] first + coeff[1] second; at least one of them is traced."""
    if not isinstance(first, Symbol):
        first, second, coeff = second, first, coeff[::-1]
    assert isinstance(first, Symbol)  # a call on constants is not lowered
    if isinstance(second, Symbol):
        return net.add(Binary(op=BinaryOp.ADD, coeff=coeff), first, second, suffix=suffix)
    shift = as_float32(second) * coeff[1]
    if is_scalar(shift, first):
        return net.add(Power(scale=coeff[0], shift=float(shift)), first, suffix=suffix)
    run = run_of(shift, first)
    if run is None:
        constant = as_symbol(net, shift, suffix=f"{suffix}_constant".lstrip("_"))
        return net.add(
            Binary(op=BinaryOp.ADD, coeff=(coeff[0], 1.0)), first, constant, suffix=suffix
        )
    if coeff[0] != 1:
        first = net.add(Power(scale=coeff[0]), first, suffix=f"{suffix}_scaled".lstrip("_"))
    return net.add(Bias(axis=run[0], num_axes=run[1].dim()), first, blobs=[run[1]], suffix=suffix)


def difference(net: Emitter, first: AnyOperand, second: AnyOperand, suffix: str = "") -> Symbol:
    """Compute first - second."""
    return weighted_sum(net, first, second, (1.0, -1.0), suffix)


def product(net: Emitter, first: AnyOperand, second: AnyOperand, suffix: str = "") -> Symbol:
    """Compute first * second; at least one of them is traced."""
    if not isinstance(first, Symbol):
        first, second = second, first
    assert isinstance(first, Symbol)  # a call on constants is not lowered
    if isinstance(second, Symbol):
        return net.add(Binary(op=BinaryOp.MUL), first, second, suffix=suffix)
    return times(net, first, as_float32(second), suffix)


def times(net: Emitter, input: Symbol, factor: Tensor, suffix: str = "") -> Symbol:
    """Multiply a traced tensor by a constant of any shape that broadcasts with it."""
    if is_scalar(factor, input):
        return net.add(Power(scale=float(factor)), input, suffix=suffix)
    run = run_of(factor, input)
    if run is None:
        constant = as_symbol(net, factor, suffix=f"{suffix}_constant".lstrip("_"))
        return net.add(Binary(op=BinaryOp.MUL), input, constant, suffix=suffix)
    return net.add(Scale(axis=run[0], num_axes=run[1].dim()), input, blobs=[run[1]], suffix=suffix)


def quotient(net: Emitter, input: AnyOperand, other: AnyOperand, suffix: str = "") -> Symbol:
    """Compute input / other; a constant divisor is a factor, at most one rounding worse."""
    if isinstance(input, Symbol) and isinstance(other, Symbol):
        return net.add(Binary(op=BinaryOp.DIV), input, other, suffix=suffix)
    if isinstance(other, Symbol):
        divisor = inverse(net, other, suffix=f"{suffix}_inverse".lstrip("_"))
        return times(net, divisor, as_float32(input), suffix)
    assert isinstance(input, Symbol)  # a call on constants is not lowered
    denominator = as_float32(other)
    if bool((denominator == 0).any()):
        raise Refused("needs a divisor other than 0, got 0")
    return times(net, input, denominator.double().reciprocal().float(), suffix)


def extreme(
    net: Emitter, op: BinaryOp, first: AnyOperand, second: AnyOperand, suffix: str = ""
) -> Symbol:
    """Compute the elementwise maximum or minimum of two operands, at least one of them traced."""
    if not isinstance(first, Symbol):
        first, second = second, first
    assert isinstance(first, Symbol)  # a call on constants is not lowered
    if not isinstance(second, Symbol) and is_scalar(as_float32(second), first):
        bound = float(as_float32(second))
        low, high = (bound, None) if op is BinaryOp.MAX else (None, bound)
        return clipped(net, first, low, high, suffix)
    constant = as_symbol(net, second, suffix=f"{suffix}_constant".lstrip("_"))
    return net.add(Binary(op=op), first, constant, suffix=suffix)


def clipped(
    net: Emitter, input: Symbol, low: float | None, high: float | None, suffix: str = ""
) -> Symbol:
    """Clip to [low, high]; None and infinity mean no bound. As in torch, high wins over low."""
    least = -LARGEST if low is None else min(max(low, -LARGEST), LARGEST)
    most = LARGEST if high is None else min(max(high, -LARGEST), LARGEST)
    return net.add(Clip(min=min(least, most), max=most), input, suffix=suffix)


def spread(net: Emitter, first: AnyOperand, second: AnyOperand) -> tuple[Symbol, Symbol]:
    """Broadcast two operands to their common shape."""
    one, two = as_symbol(net, first, suffix="first"), as_symbol(net, second, suffix="second")
    return _spread(net, one, two, (1.0, 0.0), "first"), _spread(net, one, two, (0.0, 1.0), "second")


def _spread(
    net: Emitter, first: Symbol, second: Symbol, coeff: tuple[float, float], suffix: str
) -> Symbol:
    layer, kept = Binary(op=BinaryOp.ADD, coeff=coeff), first if coeff[0] else second
    (shape,) = layer.top_shapes([first.shape, second.shape], 1)
    (other,) = layer.top_shapes([first.other_shape, second.other_shape], 1)
    if (kept.shape, kept.other_shape) == (shape, other):
        return kept
    return net.add(layer, first, second, suffix=f"{suffix}_spread")


def constant_scalar(value: AnyOperand) -> float | None:
    """Return a constant scalar as a float; None for other constants and traced tensors."""
    if isinstance(value, Symbol):
        return None
    constant = as_float32(value)
    return float(constant) if constant.dim() == 0 else None


def is_scalar(constant: Tensor, input: Symbol) -> bool:
    """Return whether a constant is a single value that broadcasts to `input`."""
    return constant.numel() == 1 and constant.dim() <= input.rank


def run_of(constant: Tensor, input: Symbol) -> tuple[int, Tensor] | None:
    """Return a constant as a blob over axes of `input`, with the first axis; None if it has more.

    Raises Refused for a constant that varies along the batch.
    """
    if constant.dim() > input.rank:
        return None
    full = constant.reshape((1,) * (input.rank - constant.dim()) + tuple(constant.shape))
    sides = list(zip(full.shape, input.shape, strict=True))
    if any(size not in (1, wide) for size, wide in sides):
        return None
    used = [axis for axis, (size, _) in enumerate(sides) if size != 1]
    first, last = (used[0], used[-1]) if used else (0, 0)
    sizes = [input.static_size(axis) for axis in range(first, last + 1)]
    return first, full.reshape(full.shape[first : last + 1]).expand(sizes).contiguous()


# Steps: masks that are 1 where a condition holds, 0 elsewhere


def above(net: Emitter, input: Symbol, bound: float, suffix: str = "") -> Symbol:
    """Return 1 where input > bound, else 0."""
    return net.add(Threshold(threshold=bound), input, suffix=suffix)


def below(net: Emitter, input: Symbol, bound: float, suffix: str = "") -> Symbol:
    """Return 1 where input < bound, else 0."""
    return above(
        net, affine(net, input, -1, suffix=f"{suffix}_negative".lstrip("_")), -bound, suffix
    )


def before(bound: float) -> float:
    """Return the largest float32 below a bound: x >= bound if and only if x > before(bound)."""
    return float(np.nextafter(np.float32(bound), np.float32(-np.inf)))


def after(bound: float) -> float:
    """Return the smallest float32 above a bound."""
    return -before(-bound)


def opposite(net: Emitter, mask: Symbol, suffix: str = "") -> Symbol:
    """Return 1 where a mask is 0, and 0 where it is 1."""
    return affine(net, mask, -1, 1, suffix=suffix)


def nonzero(net: Emitter, input: Symbol, suffix: str = "") -> Symbol:
    """Return 1 where input is not 0, else 0; a mask is returned unchanged."""
    if input.dtype is torch.bool:
        return input
    size = net.add(AbsVal(), input, suffix=f"{suffix}_size".lstrip("_"))
    return above(net, size, 0, suffix)


def sign(net: Emitter, input: Symbol, suffix: str = "") -> Symbol:
    """Return 1 where input > 0, -1 where input < 0, 0 where it is 0."""
    up = above(net, input, 0, f"{suffix}_above".lstrip("_"))
    down = below(net, input, 0, f"{suffix}_below".lstrip("_"))
    return net.add(Eltwise(coeff=(1, -1)), up, down, suffix=suffix)


def with_sign_of(net: Emitter, size: Symbol, input: Symbol, suffix: str = "") -> Symbol:
    """Compute size * sign(input) for two tensors of the same shape."""
    return net.add(PRODUCT, size, sign(net, input, f"{suffix}_sign".lstrip("_")), suffix=suffix)


def is_positive(net: Emitter, value: Symbol) -> bool:
    """Return whether the layer that computes a tensor gives positive elements only."""
    step = _maker(net, value.value)
    if step is None:
        return False
    layer = step.layer
    if isinstance(layer, Power) and layer.power == 1 and layer.scale >= 0 and layer.shift > 0:
        return _is_not_negative(net, step.bottoms[0])
    return isinstance(layer, Exp | Sigmoid | Softmax | BNLL)


def _is_not_negative(net: Emitter, value: Value) -> bool:
    step = _maker(net, value)
    if step is None:
        return False
    layer = step.layer
    if isinstance(layer, Eltwise | Binary) and len(set(step.bottoms)) == 1:
        return layer in (PRODUCT, Binary(op=BinaryOp.MUL))
    if isinstance(layer, Power):
        return layer.power % 2 == 0
    if isinstance(layer, ReLU):
        return layer.negative_slope == 0
    return isinstance(layer, AbsVal | Exp | Sigmoid | Softmax | BNLL)


def _maker(net: Emitter, value: Value) -> Step | None:
    return next((step for step in net.steps if value in step.tops), None)


# Affine maps and polynomials


def affine(
    net: Emitter, input: Symbol, scale: float, shift: float = 0.0, suffix: str = ""
) -> Symbol:
    """Compute scale * input + shift."""
    return net.add(Power(scale=scale, shift=shift), input, suffix=suffix)


def combined(net: Emitter, terms: Sequence[tuple[float, Symbol]], suffix: str = "") -> Symbol:
    """Sum factor * tensor over tensors of the same shape, in this order."""
    factors, symbols = zip(*terms, strict=True)
    return net.add(Eltwise(coeff=factors), *symbols, suffix=suffix)


def negated(net: Emitter, input: Symbol, suffix: str = "") -> Symbol:
    """Compute -input."""
    return affine(net, input, -1, suffix=suffix)


def inverse(
    net: Emitter, input: Symbol, scale: float = 1.0, shift: float = 0.0, suffix: str = ""
) -> Symbol:
    """Compute 1 / (scale * input + shift)."""
    return net.add(Power(power=-1, scale=scale, shift=shift), input, suffix=suffix)


def polynomial(net: Emitter, input: Symbol, factors: Sequence[float], suffix: str = "") -> Symbol:
    """Compute factors[0] + factors[1] x + factors[2] x^2 ... by Horner's rule."""
    *others, before_last, last = factors
    top = affine(net, input, last, before_last, suffix="horner" if others else suffix)
    for index, factor in enumerate(reversed(others), 1):
        inner = net.add(PRODUCT, top, input, suffix="horner")
        top = affine(net, inner, 1, factor, suffix=suffix if index == len(others) else "horner")
    return top


# Rounding

WHOLE = 1.5 * 2.0**23


def rounded(
    net: Emitter, input: Symbol, scale: float = 1.0, unit: float = 1.0, suffix: str = ""
) -> Symbol:
    """Round scale * x to the nearest multiple of `unit`, ties to even, for |scale x| < 2^22 unit.

    A float32 as large as 1.5 * 2^23 has no fraction: adding it rounds, subtracting it is exact.
    """
    name = suffix or "whole"
    shifted = affine(net, input, scale, WHOLE * unit, suffix=f"{name}_shifted")
    return affine(net, shifted, 1, -WHOLE * unit, suffix=name)


def split_float(value: float, bits: int, parts: int) -> list[float]:
    """Split a float into a sum of `parts` nonzero terms; all but the last have `bits` bits.

    Products of those terms with integers up to 2^(24 - bits) are exact.
    """
    found = []
    for _ in range(parts - 1):
        mantissa, exponent = np.frexp(value)
        piece = float(np.ldexp(np.round(np.ldexp(mantissa, bits)), exponent - bits))
        found.append(piece)
        value -= piece
    found.append(float(np.float32(value)))
    return [piece for piece in found if piece != 0]


def without_multiples(
    net: Emitter, input: Symbol, count: Symbol, period: float, suffix: str = ""
) -> Symbol:
    """Compute input - count * period; the subtrahend is exact for counts up to 2^16."""
    parts = split_float(period, 8, 4)
    return combined(net, [(1, input), *((-piece, count) for piece in parts)], suffix)
