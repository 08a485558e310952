"""Bitwise functions: of masks, which they take for 0 and 1, and of integers beside a constant."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.blocks import AnyOperand, affine, combined, inside, opposite
from fx2caffe.ops.comparison import logical_and, logical_or, logical_xor
from fx2caffe.ops.division import remainder


@handles(torch.bitwise_and)
def bitwise_and(net: Emitter, input: AnyOperand, other: AnyOperand, *, out: Expected) -> Symbol:
    if out.meta.dtype is torch.bool:
        return logical_and(net, input, other)
    x, bits = _with_constant(out, input, other)
    return _common(net, x, bits)


@handles(torch.bitwise_or)
def bitwise_or(net: Emitter, input: AnyOperand, other: AnyOperand, *, out: Expected) -> Symbol:
    """Compute the or of masks; for integers x + bits - (x & bits)."""
    if out.meta.dtype is torch.bool:
        return logical_or(net, input, other)
    return _sum_without_common(net, *_with_constant(out, input, other), times=1)


@handles(torch.bitwise_xor)
def bitwise_xor(net: Emitter, input: AnyOperand, other: AnyOperand, *, out: Expected) -> Symbol:
    """Compute the exclusive or of masks; for integers x + bits - 2 (x & bits)."""
    if out.meta.dtype is torch.bool:
        return logical_xor(net, input, other)
    return _sum_without_common(net, *_with_constant(out, input, other), times=2)


@handles(torch.bitwise_not)
def bitwise_not(net: Emitter, input: Symbol) -> Symbol:
    """Invert a mask; for integers compute -x - 1, as in two's complement."""
    if input.dtype is torch.bool:
        return opposite(net, input)
    return affine(net, input, -1, -1)


def _with_constant(out: Expected, input: AnyOperand, other: AnyOperand) -> tuple[Symbol, int]:
    """Return the operand that is computed, and the integer that is constant."""
    x, constant = (input, other) if isinstance(input, Symbol) else (other, input)
    bits = None if isinstance(constant, Symbol) else torch.as_tensor(constant)
    if not isinstance(x, Symbol) or bits is None or bits.numel() != 1:
        raise Refused(
            f"needs masks, or an integer and one constant, got bits of two {out.meta.dtype}: "
            "say them as x // 2**n % 2"
        )
    return x, int(bits)


def _sum_without_common(net: Emitter, x: Symbol, bits: int, *, times: int) -> Symbol:
    """Compute x + bits - times (x & bits)."""
    common = inside(net, "common", _common, x, bits)
    return affine(net, combined(net, [(1, x), (-times, common)], "rest"), 1, bits)


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
