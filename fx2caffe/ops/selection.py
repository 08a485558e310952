"""where and masked_fill: elementwise selection of one of two values.

Constant values may be infinite: x + log(1 - mask) is -inf where the mask is 1 and x elsewhere. Of
computed values, products select exactly as long as both are finite. Where one comes out of a
logarithm, a division or an exponential, or the condition tests for NaN or infinity, one may be
infinite or NaN where it is not selected: a maximum selects, from which Caffe drops a NaN; a NaN
that is selected becomes -inf.
"""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor

from caffe2fx.layers import Log
from fx2caffe.ir.constants import as_float32
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.finite import may_be_infinite, tests_finiteness
from fx2caffe.ir.symbol import Symbol
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.blocks import (
    MAXIMUM,
    AnyOperand,
    affine,
    combined,
    negated,
    nonzero,
    opposite,
    product,
    spread,
    weighted_sum,
)


@handles(torch.where)
def where(net: Emitter, condition: AnyOperand, input: AnyOperand, other: AnyOperand) -> Symbol:
    return select(net, condition, input, other)


@handles(torch.masked_fill)
def masked_fill(net: Emitter, input: AnyOperand, mask: AnyOperand, value: AnyOperand) -> Symbol:
    return select(net, mask, value, input)


def select(net: Emitter, condition: AnyOperand, chosen: AnyOperand, other: AnyOperand) -> Symbol:
    """Return `chosen` where the condition is not 0, else `other`."""
    mask = _mask(net, condition)
    tested = tests_finiteness(net, mask)
    risks = tuple(
        may_be_infinite(net, value) or (tested and isinstance(value, Symbol))
        for value in (chosen, other)
    )
    if not any(risks):
        return _by_products(net, mask, chosen, other)
    if not risks[0]:
        mask, chosen, other = _opposite(net, mask), other, chosen
    if not isinstance(other, Symbol) and bool((as_float32(other) == inf).any()):
        turned = negated(net, chosen, suffix="negated") if isinstance(chosen, Symbol) else chosen
        return negated(net, _by_maximum(net, mask, turned, -as_float32(other), False))
    return _by_maximum(net, mask, chosen, other, all(risks))


def _mask(net: Emitter, condition: AnyOperand) -> AnyOperand:
    if isinstance(condition, Symbol):
        return nonzero(net, condition, suffix="mask")
    return (torch.as_tensor(condition) != 0).float()


def _opposite(net: Emitter, mask: AnyOperand) -> AnyOperand:
    return opposite(net, mask, suffix="opposite") if isinstance(mask, Symbol) else 1 - mask


# By sums of products, for computed values that are finite

Term = tuple[float, Symbol]


def _by_products(net: Emitter, mask: AnyOperand, chosen: AnyOperand, other: AnyOperand) -> Symbol:
    if isinstance(mask, Symbol):
        return _total(net, _computed_terms(net, mask, chosen, other), None)
    terms: list[Term] = []
    constant = torch.zeros(())
    for value, share in ((chosen, mask), (other, 1 - as_float32(mask))):
        if not isinstance(value, Symbol):
            constant = constant + torch.where(as_float32(share) > 0, as_float32(value), 0.0)
        elif _is_infinite(other if value is chosen else chosen):
            terms.append((1.0, value))  # the constant added there makes it infinite
        else:
            terms.append((1.0, product(net, value, share, suffix="masked")))
    return _total(net, terms, constant if bool((constant != 0).any()) else None)


def _computed_terms(
    net: Emitter, mask: Symbol, chosen: AnyOperand, other: AnyOperand
) -> list[Term]:
    """Return the terms other - mask other + mask chosen; x - x is exactly 0."""
    terms: list[Term] = []
    if isinstance(other, Symbol):
        terms.append((1.0, other))
        if not _is_infinite(chosen):
            terms.append((-1.0, product(net, mask, other, suffix="dropped")))
    else:
        terms += _constant_terms(net, opposite(net, mask, suffix="opposite"), other)
    if not isinstance(chosen, Symbol):
        return terms + _constant_terms(net, mask, chosen)
    taken = chosen if _is_infinite(other) else product(net, mask, chosen, suffix="masked")
    return [*terms, (1.0, taken)]


def _constant_terms(net: Emitter, mask: Symbol, value: AnyOperand) -> list[Term]:
    """Return the terms of mask * value: the finite part by a product, infinity by logarithms."""
    constant = as_float32(value)
    finite = torch.where(constant.isinf(), 0.0, constant)
    terms: list[Term] = []
    if constant.dim() == 0 and float(finite):
        terms.append((float(finite), mask))
    elif bool((finite != 0).any()):
        terms.append((1.0, product(net, mask, finite, suffix="filled")))
    for sign in (-1.0, 1.0):
        marks = (constant == sign * inf).float()
        if bool((marks != 0).any()):
            where = product(net, mask, marks, suffix="indices") if constant.dim() else mask
            terms.append((-sign, net.add(Log(scale=-1, shift=1), where, suffix="penalty")))
    return terms


def _total(net: Emitter, terms: list[Term], constant: Tensor | None) -> Symbol:
    """Sum the terms, in this order, and a constant."""
    (factor, total), *others = terms
    shapes = {(symbol.shape, symbol.other_shape) for _, symbol in terms}
    if others and len(shapes) == 1:
        total = combined(net, terms, suffix="" if constant is None else "sum")
    elif not others and factor != 1:
        total = affine(net, total, factor, suffix="" if constant is None else "sum")
    else:
        for scale, symbol in others:
            total = weighted_sum(net, total, symbol, (factor, scale), suffix="sum")
            factor = 1.0
    return total if constant is None else weighted_sum(net, total, constant)


def _is_infinite(value: AnyOperand) -> bool:
    return not isinstance(value, Symbol) and bool(as_float32(value).isinf().all())


# By a maximum, for values that may be infinite or NaN


def _by_maximum(
    net: Emitter, mask: AnyOperand, chosen: AnyOperand, other: AnyOperand, both: bool
) -> Symbol:
    """Compute max(chosen + log(mask), other + log(1 - mask)); Caffe drops a first bottom's NaN.

    With a third bottom in between, it drops a NaN in the last bottom too.
    """
    first, last = spread(
        net,
        _plus(net, chosen, _logarithm(net, mask, 1, 0), "chosen"),
        _plus(net, other, _logarithm(net, mask, -1, 1), "other"),
    )
    if not both:
        return net.add(MAXIMUM, first, last)
    return net.add(MAXIMUM, first, affine(net, first, 0, -inf, suffix="least"), last)


def _plus(net: Emitter, first: AnyOperand, second: AnyOperand, suffix: str) -> AnyOperand:
    if not isinstance(first, Symbol) and not bool((as_float32(first) != 0).any()):
        return second
    if isinstance(first, Symbol) or isinstance(second, Symbol):
        return weighted_sum(net, first, second, suffix=suffix)
    return as_float32(first) + as_float32(second)


def _logarithm(net: Emitter, mask: AnyOperand, scale: float, shift: float) -> AnyOperand:
    """Compute log(scale * mask + shift)."""
    if isinstance(mask, Symbol):
        return net.add(Log(scale=scale, shift=shift), mask, suffix="penalty")
    return torch.log(as_float32(mask) * scale + shift)
