"""Complex arithmetic on pairs of symbols, and the functions that make pairs or take their parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fx2caffe.ir import graph_functions
from fx2caffe.ir.complex_pair import ComplexPair, is_complex, parts_of
from fx2caffe.ir.data_movement import rearrange
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Operand, Refused, Symbol
from fx2caffe.lowering.complex_calls import handles_complex
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.handler_calls import called
from fx2caffe.lowering.registry import handlers, handles
from fx2caffe.ops import cast, einsum, elementwise, exponential, index_map, matmul
from fx2caffe.ops.arithmetic import absolute
from fx2caffe.ops.blocks import (
    affine,
    combined,
    inside,
    inverse,
    negated,
    product,
    quotient,
    weighted_sum,
)
from fx2caffe.ops.complex_parts import imaginary_part, real_part, zeros_like
from fx2caffe.ops.trigonometric import atan2, cos, sin

MOST_FACTORS = 4  # of a whole power
Multilinear = Callable[..., Symbol]


# Parts


@handles(torch.real)
def real_of_real(net: Emitter, input: Symbol) -> Symbol:
    return input


@handles_complex(torch.real)
def real(net: Emitter, input: ComplexPair) -> Symbol:
    return real_part(net, input)


@handles_complex(torch.imag)
def imag(net: Emitter, input: ComplexPair) -> Symbol:
    return imaginary_part(net, input)


@handles_complex(graph_functions.view_as_real)
def view_as_real(net: Emitter, input: ComplexPair, *, out: Expected) -> Symbol:
    """Stack the parts along a last axis."""
    parts = real_part(net, input), imaginary_part(net, input)
    return index_map.stack(net, parts, -1, out=out)


@handles(graph_functions.view_as_complex)
def view_as_complex(net: Emitter, input: Symbol) -> ComplexPair:
    """Take the two indices of the last axis as the parts."""
    parts = (
        inside(net, name, rearrange, input, partial(torch.select, dim=-1, index=index))
        for index, name in enumerate(("real", "imag"))
    )
    return ComplexPair(*parts)


@handles(torch.complex)
def complex_of(net: Emitter, real: Operand, imag: Operand, *, out: Expected) -> ComplexPair:
    like = next(part for part in (real, imag) if isinstance(part, Symbol))
    return ComplexPair(*(_spread(net, part, like, out) for part in (real, imag)))


def _spread(net: Emitter, part: Operand, like: Symbol, out: Expected) -> Symbol:
    """Return a part in the shape of the result; a constant follows the batch of `like`."""
    if not isinstance(part, Symbol):
        part = weighted_sum(net, zeros_like(net, like), part)
    return index_map.expanded(net, part, out.shape, out.other_shape)


@handles(torch.polar)
def polar(net: Emitter, abs: Operand, angle: Operand) -> ComplexPair:
    """Compute abs * cos(angle) and abs * sin(angle)."""
    parts = (
        product(
            net, abs, inside(net, name, turn, angle) if isinstance(angle, Symbol) else of(angle)
        )
        for name, turn, of in (("real", cos, torch.cos), ("imag", sin, torch.sin))
    )
    return ComplexPair(*parts)


@handles_complex(Tensor.to)
def to(net: Emitter, input: Symbol | ComplexPair, dtype: torch.dtype) -> Symbol | ComplexPair:
    """Make a real tensor complex, or keep the real part of a complex one, as torch does."""
    if dtype in (torch.complex64, torch.complex128):
        return input if isinstance(input, ComplexPair) else ComplexPair(input)
    if not dtype.is_floating_point or is_complex(dtype) or not isinstance(input, ComplexPair):
        raise Refused(f"needs complex values to stay complex64 or become float32, got {dtype}")
    return cast.to(net, real_part(net, input), dtype)


@handles_complex(torch.abs)
def magnitude(net: Emitter, input: ComplexPair) -> Symbol:
    """Compute sqrt(real^2 + imag^2)."""
    if len(input.present) == 1:
        return absolute(net, input.present[0])
    return elementwise.hypot(net, *input.present)


@handles_complex(torch.angle)
def angle(net: Emitter, input: ComplexPair) -> Symbol:
    return atan2(net, imaginary_part(net, input), real_part(net, input))


@handles_complex(torch.conj)
def conj(net: Emitter, input: ComplexPair) -> ComplexPair:
    return ComplexPair(input.real, None if input.imag is None else negated(net, input.imag))


@handles_complex(torch.adjoint)
def adjoint(net: Emitter, input: ComplexPair) -> ComplexPair:
    parts = (
        None if part is None else rearrange(net, part, torch.adjoint)
        for part in (input.real, input.imag)
    )
    return conj(net, ComplexPair(*parts))


def _of_magnitudes(*functions: Callable[..., Any]) -> None:
    """Register functions of complex values that are the same of their magnitudes."""
    for function in functions:

        def of_magnitudes(
            net: Emitter,
            input: ComplexPair,
            *args: Any,
            out: Expected,
            _function: Callable[..., Any] = function,
            **kwargs: Any,
        ) -> Any:
            sizes = inside(net, "abs", magnitude, input)
            return called(net, handlers()[_function], (sizes, *args), kwargs, out)

        handles_complex(function)(of_magnitudes)


_of_magnitudes(torch.linalg.vector_norm, torch.norm)


# Sums


@handles_complex(torch.add)
def add(net: Emitter, input: Any, other: Any, alpha: Any = 1, *, out: Expected) -> ComplexPair:
    """Compute input + alpha * other, part by part."""
    if is_complex(alpha):
        raise Refused(f"needs a real alpha, got {alpha}")
    first, second = parts_of(input), parts_of(other)
    like = next(value for value in (input, other) if isinstance(value, Symbol | ComplexPair))
    parts = (
        _sum(net, name, one, two, alpha, like, out)
        for name, one, two in zip(("real", "imag"), first, second, strict=True)
    )
    return ComplexPair(*parts)


@handles_complex(torch.sub)
def sub(net: Emitter, input: Any, other: Any, alpha: Any = 1, *, out: Expected) -> ComplexPair:
    return add(net, input, other, -alpha, out=out)


def _sum(
    net: Emitter,
    name: str,
    one: Any,
    two: Any,
    alpha: float,
    like: Symbol | ComplexPair,
    out: Expected,
) -> Symbol | None:
    """Add a part of both values, in the shape of the result."""
    if one is None and two is None:
        return None
    made: Operand
    one, factor = (two, alpha) if one is None else (one, 1.0)
    two = two if one is not two else None
    if two is not None and (isinstance(one, Symbol) or isinstance(two, Symbol)):
        made = inside(net, name, weighted_sum, one, two, (1.0, float(alpha)))
    elif isinstance(one, Symbol):
        made = one if factor == 1 else affine(net, one, factor, suffix=name)
    else:
        made = torch.as_tensor(one) * factor + (0 if two is None else torch.as_tensor(two))
    return inside(net, name, _spread, made, _first(like), out)


def _first(value: Symbol | ComplexPair) -> Symbol:
    return value.present[0] if isinstance(value, ComplexPair) else value


# Products


def multilinear(net: Emitter, function: Multilinear, *values: Any) -> ComplexPair:
    """Apply a function that is linear in each of its values, for all choices of their parts.

    The sign of a term is that of i to the power of the number of imaginary parts in it.
    """
    terms: list[tuple[int, list[Any]]] = [(0, [])]
    for value in values:
        terms = [
            (power + index, [*chosen, part])
            for power, chosen in terms
            for index, part in enumerate(parts_of(value))
            if part is not None
        ]
    made: tuple[list[tuple[float, Symbol]], ...] = ([], [])
    for power, chosen in terms:
        term = inside(net, f"term{len(made[0]) + len(made[1])}", function, *chosen)
        made[power % 2].append((1.0 - power % 4 // 2 * 2, term))
    real, imag = (_total(net, *pair) for pair in zip(("real", "imag"), made, strict=True))
    return ComplexPair(real, imag)


def _total(net: Emitter, name: str, terms: Sequence[tuple[float, Symbol]]) -> Symbol | None:
    if not terms:
        return None
    if len(terms) == 1:
        factor, symbol = terms[0]
        return symbol if factor == 1 else affine(net, symbol, factor, suffix=name)
    return combined(net, terms, suffix=name)


@handles_complex(torch.mul)
def mul(net: Emitter, input: Any, other: Any) -> ComplexPair:
    return multilinear(net, product, input, other)


@handles_complex(torch.square)
def square(net: Emitter, input: ComplexPair) -> ComplexPair:
    return mul(net, input, input)


@handles_complex(torch.pow)
def power(net: Emitter, input: Any, exponent: Any) -> ComplexPair:
    """Multiply the value by itself, for a whole exponent."""
    factors = exponent if isinstance(exponent, int | float) else 0
    if not isinstance(input, ComplexPair) or factors not in range(1, MOST_FACTORS + 1):
        raise Refused(f"needs a power from 1 to {MOST_FACTORS} of complex values, got {exponent}")
    made = input
    for _ in range(int(factors) - 1):
        made = mul(net, made, input)
    return made


@handles_complex(torch.div)
def div(net: Emitter, input: Any, other: Any, *, rounding_mode: str | None = None) -> ComplexPair:
    """Divide both parts by a real divisor; else compute input * conj(other) / |other|^2."""
    if not is_complex(other):
        return multilinear(net, lambda net, part: quotient(net, part, other), input)
    if not isinstance(other, ComplexPair):
        return mul(net, input, torch.as_tensor(other).to(torch.complex128).reciprocal())
    squares = [product(net, part, part, suffix="square") for part in other.present]
    total = squares[0] if len(squares) == 1 else combined(net, [(1, s) for s in squares], "squares")
    turned = multilinear(net, product, input, inside(net, "conj", conj, other))
    return multilinear(net, product, turned, inverse(net, total, suffix="inverse"))


@handles_complex(torch.reciprocal)
def reciprocal(net: Emitter, input: ComplexPair) -> ComplexPair:
    return div(net, 1.0, input)


@handles_complex(torch.exp)
def exp(net: Emitter, input: ComplexPair) -> ComplexPair:
    """Compute e^real * (cos(imag), sin(imag))."""
    size = None if input.real is None else exponential.exp(net, input.real)
    if input.imag is None:
        return ComplexPair(size)
    turns = [inside(net, name, turn, input.imag) for name, turn in (("cos", cos), ("sin", sin))]
    return ComplexPair(*(turn if size is None else product(net, size, turn) for turn in turns))


@handles_complex(torch.log)
def log(net: Emitter, input: ComplexPair) -> ComplexPair:
    size = inside(net, "abs", magnitude, input)
    return ComplexPair(exponential.log(net, size), inside(net, "angle", angle, input))


@handles_complex(torch.matmul, torch.mm, torch.bmm, torch.mv, torch.dot)
def matrix_product(net: Emitter, input: Any, other: Any, *, out: Expected) -> ComplexPair:
    return multilinear(net, lambda net, a, b: matmul.matmul(net, a, b, out=out), input, other)


@handles_complex(torch.outer)
def outer(net: Emitter, input: Any, vec2: Any) -> ComplexPair:
    return multilinear(net, matmul.outer, input, vec2)


@handles_complex(torch.addmm, torch.baddbmm, torch.addmv)
def addmm(
    net: Emitter,
    input: Any,
    first: Any,
    second: Any,
    beta: Any = 1,
    alpha: Any = 1,
    *,
    out: Expected,
) -> ComplexPair:
    """Compute beta * input + alpha * (first @ second)."""
    term = mul(net, inside(net, "product", matrix_product, first, second, out=out), alpha)
    return add(net, term, input, beta, out=out)


@handles_complex(F.linear)
def linear(
    net: Emitter, input: Any, weight: Any, bias: Any = None, *, out: Expected
) -> ComplexPair:
    made = multilinear(net, matmul.linear, input, weight)
    return made if bias is None else add(net, made, bias, out=out)


@handles_complex(torch.einsum)
def contraction(net: Emitter, equation: str, *operands: Any) -> ComplexPair:
    given = operands[0] if isinstance(operands[0], (list, tuple)) else operands
    return multilinear(net, lambda net, *parts: einsum.einsum(net, equation, *parts), *given)


@handles_complex(torch.tensordot)
def tensordot(net: Emitter, a: Any, b: Any, dims: Any = 2) -> ComplexPair:
    return multilinear(net, lambda net, one, two: einsum.tensordot(net, one, two, dims), a, b)


@handles_complex(torch.addcmul)
def addcmul(
    net: Emitter, input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1, out: Expected
) -> ComplexPair:
    """Compute input + value * tensor1 * tensor2."""
    return add(net, input, inside(net, "product", mul, tensor1, tensor2), value, out=out)
