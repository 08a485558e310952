"""searchsorted, bucketize and isin, by comparison with every element of a sequence."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from caffe2fx.layers import AbsVal, Reduction
from fx2caffe.ir.binary import Binary, BinaryOp
from fx2caffe.ir.constants import as_symbol
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.gather import DENSE
from fx2caffe.ir.reduce import ReduceOp
from fx2caffe.ir.reshape import viewed
from fx2caffe.ir.symbol import Operand, Refused, Symbol
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.blocks import above, difference, negated, opposite
from fx2caffe.ops.reduction import reduced


@handles(torch.searchsorted)
def searchsorted(
    net: Emitter,
    sorted_sequence: Operand,
    input: Operand | float,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Operand | None = None,
) -> Symbol:
    if sorter is not None:
        raise Refused("needs a sequence that is sorted already, got a sorter")
    return _count_below(net, sorted_sequence, input, right or side == "right")


@handles(torch.bucketize)
def bucketize(
    net: Emitter,
    input: Operand | float,
    boundaries: Operand,
    *,
    out_int32: bool = False,
    right: bool = False,
) -> Symbol:
    return _count_below(net, boundaries, input, right)


def _count_below(net: Emitter, sequence: Operand, input: Operand | float, right: bool) -> Symbol:
    """Count the elements of a sequence below each input element, or (`right`) not above it."""
    values = as_symbol(net, torch.as_tensor(input) if not isinstance(input, Symbol) else input)
    elements = as_symbol(net, sequence, suffix="sequence")
    last = viewed(net, values, lambda s: (*s, 1), suffix="last")
    if elements.rank > 1:
        elements = viewed(net, elements, lambda s: (*s[:-1], 1, s[-1]), suffix="unsqueezed")
    first, second = (elements, last) if right else (last, elements)
    excess = net.add(Binary(op=BinaryOp.ADD, coeff=(1.0, -1.0)), first, second, suffix="difference")
    counted = above(net, excess, 0, "is_above")
    if right:
        counted = opposite(net, counted, "is_not_above")
    return net.add(Reduction(axis=-1), counted)


@handles(torch.isin)
def isin(
    net: Emitter,
    elements: Operand,
    test_elements: Operand | float,
    *,
    assume_unique: bool = False,
    invert: bool = False,
) -> Symbol:
    """Compute whether the distance to the nearest test element is 0."""
    if isinstance(test_elements, Symbol) or isinstance(elements, Tensor):
        return _among_computed(net, elements, as_symbol(net, test_elements), invert)
    tested = torch.as_tensor(test_elements).flatten()
    last = viewed(net, elements, lambda s: (*s, 1), suffix="last")
    distance = net.add(AbsVal(), difference(net, last, tested, "steps"), suffix="distance")
    nearness = negated(net, distance, "nearness")
    nearest = reduced(net, ReduceOp.MAX, nearness, -1, suffix="nearest")
    is_other = above(net, negated(net, nearest, "distance"), 0, "" if invert else "is_other")
    return is_other if invert else opposite(net, is_other)


def _among_computed(net: Emitter, elements: Operand, tested: Symbol, invert: bool) -> Symbol:
    """Count the test elements that are equal to each element: 1 - (|x - t| > 0), summed."""
    pairs = prod(elements.shape) * prod(tested.shape)
    if pairs > DENSE:
        raise Refused(
            f"needs at most {DENSE} pairs of an element and a test element that the net computes, "
            f"got {pairs}"
        )
    values = as_symbol(net, elements, suffix="elements")
    last = viewed(net, values, lambda s: (*s, 1), suffix="last")
    line = viewed(net, tested, lambda s: (prod(s),), suffix="values")
    distance = net.add(AbsVal(), difference(net, last, line, "difference"), suffix="distance")
    same = opposite(net, above(net, distance, 0, "is_other"), "is_same")
    count = net.add(Reduction(axis=-1), same, suffix="count")
    found = above(net, count, 0, "found" if invert else "")
    return opposite(net, found) if invert else found
