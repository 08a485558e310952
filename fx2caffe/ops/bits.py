"""Bitwise functions of masks, whose elements are 0 and 1, and of integers and a constant."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.reshape import reshaped
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.blocks import AnyOperand, affine, combined, inside, opposite, times
from fx2caffe.ops.comparison import logical_and, logical_or, logical_xor
from fx2caffe.ops.division import remainder

MOST_VALUES = 64


@handles(torch.bitwise_and)
def bitwise_and(net: Emitter, input: AnyOperand, other: AnyOperand, *, out: Expected) -> Symbol:
    if out.meta.dtype is torch.bool:
        return logical_and(net, input, other)
    return _with_constant(net, out, input, other, _common)


@handles(torch.bitwise_or)
def bitwise_or(net: Emitter, input: AnyOperand, other: AnyOperand, *, out: Expected) -> Symbol:
    """Compute the or of masks; for integers x + bits - (x & bits)."""
    if out.meta.dtype is torch.bool:
        return logical_or(net, input, other)
    return _with_constant(net, out, input, other, _either)


@handles(torch.bitwise_xor)
def bitwise_xor(net: Emitter, input: AnyOperand, other: AnyOperand, *, out: Expected) -> Symbol:
    """Compute the exclusive or of masks; for integers x + bits - 2 (x & bits)."""
    if out.meta.dtype is torch.bool:
        return logical_xor(net, input, other)
    return _with_constant(net, out, input, other, _one_of)


@handles(torch.bitwise_not)
def bitwise_not(net: Emitter, input: Symbol) -> Symbol:
    """Invert a mask; for integers compute -x - 1, as in two's complement, or 255 - x of bytes."""
    if input.dtype is torch.bool:
        return opposite(net, input)
    return affine(net, input, -1, 255 if input.dtype is torch.uint8 else -1)


def _with_constant(
    net: Emitter,
    out: Expected,
    input: AnyOperand,
    other: AnyOperand,
    function: Callable[[Emitter, Symbol, int], Symbol],
) -> Symbol:
    """Apply a function of an integer and constant bits; the constant may differ by element.

    Then the results for each of its values are masked and added.
    """
    x, constant = (input, other) if isinstance(input, Symbol) else (other, input)
    if not isinstance(x, Symbol) or isinstance(constant, Symbol):
        raise Refused(
            f"needs masks, or an integer and one constant, got bits of two {out.meta.dtype}: "
            "say them as x // 2**n % 2"
        )
    bits = torch.as_tensor(constant)
    if bits.numel() == 1:
        wide = reshaped(net, x, out.shape, out.other_shape, suffix="reshaped")
        return function(net, wide, int(bits))
    values = sorted(set(bits.flatten().tolist()))
    if len(values) > MOST_VALUES:
        raise Refused(f"needs at most {MOST_VALUES} different constants, got {len(values)}")
    parts = []
    for index, value in enumerate(values):
        found = inside(net, f"bits{index}", function, x, value)
        parts.append(times(net, found, (bits == value).float(), suffix=f"part{index}"))
    return parts[0] if len(parts) == 1 else combined(net, [(1.0, part) for part in parts])


def _either(net: Emitter, x: Symbol, bits: int, count: int = 1) -> Symbol:
    """Compute x + bits - count (x & bits)."""
    common = inside(net, "common", _common, x, bits)
    return affine(net, combined(net, [(1, x), (-count, common)], "rest"), 1, bits)


def _one_of(net: Emitter, x: Symbol, bits: int) -> Symbol:
    return _either(net, x, bits, count=2)


def _common(net: Emitter, x: Symbol, bits: int) -> Symbol:
    """Compute x & bits: x mod 2^j - x mod 2^i for each run of bits from i to j."""
    terms: list[tuple[float, Symbol]] = []
    for start, end in _runs(bits if bits >= 0 else ~bits):
        terms.append((1.0, inside(net, f"below_{end}", remainder, x, 2.0**end)))
        if start:
            terms.append((-1.0, inside(net, f"below_{start}", remainder, x, 2.0**start)))
    if bits < 0:  # x without the bits of ~bits
        terms = [(1.0, x), *((-factor, symbol) for factor, symbol in terms)]
    if len(terms) > 1:
        return combined(net, terms, "")
    factor, symbol = terms[0] if terms else (0.0, x)
    return affine(net, symbol, factor)


def _runs(bits: int) -> Iterator[tuple[int, int]]:
    """Yield the runs of 1 bits, each by its first index and the index behind its last."""
    index = 0
    while bits >> index:
        if not bits >> index & 1:
            index += 1
            continue
        start = index
        while bits >> index & 1:
            index += 1
        yield start, index
