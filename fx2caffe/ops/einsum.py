"""Sums of products over named axes: einsum, tensordot and inner."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from caffe2fx.layers import Convolution
from caffe2fx.messages.message import Shape
from fx2caffe.ir.axis_matrix import AxisMatrix
from fx2caffe.ir.constants import as_float32, as_symbol
from fx2caffe.ir.data_movement import positions, take_at
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.permute import Permute
from fx2caffe.ir.reduce import ReduceOp
from fx2caffe.ir.reshape import reshaped, viewed
from fx2caffe.ir.symbol import Operand, Refused, Symbol
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.elementwise import mul
from fx2caffe.ops.matmul import product
from fx2caffe.ops.reduction import reduced

Labels = tuple[int, ...]
View = Callable[[Shape], Shape]
ELLIPSIS = 1000  # labels of the axes of an ellipsis, counted from its last axis


@handles(torch.inner)
def inner(net: Emitter, input: Operand, other: Operand) -> Symbol:
    """Sum the products over the last axis of both; a scalar multiplies."""
    ranks = len(input.shape), len(other.shape)
    if 0 in ranks:
        return mul(net, input, other)
    return tensordot(net, input, other, ([ranks[0] - 1], [ranks[1] - 1]))


@handles(torch.tensordot)
def tensordot(
    net: Emitter, a: Operand, b: Operand, dims: int | Sequence[Sequence[int]] = 2
) -> Symbol:
    ranks = len(a.shape), len(b.shape)
    if isinstance(dims, int):
        dims = (range(ranks[0] - dims, ranks[0]), range(dims))
    left, right = ([d % rank for d in axes] for axes, rank in zip(dims, ranks, strict=True))
    first = tuple(range(ranks[0]))
    paired = dict(zip(right, left, strict=True))
    second = tuple(paired.get(axis, ranks[0] + axis) for axis in range(ranks[1]))
    result = tuple(label for label in (*first, *second) if label not in left)
    made = _times(net, _Term(a, first), _Term(b, second), result)
    return as_symbol(net, made.arranged(net, result).value)


@handles(torch.einsum)
def einsum(net: Emitter, equation: str, *operands: Any) -> Symbol:
    """Contract from left to right, two operands at a time."""
    given = operands[0] if isinstance(operands[0], (list, tuple)) else operands
    sides, result = parsed(equation, [len(operand.shape) for operand in given])
    terms = [_Term(o, side).diagonal(net) for o, side in zip(given, sides, strict=True)]
    while len(terms) > 1:
        later = [label for term in terms[2:] for label in term.labels]
        terms[:2] = [_times(net, terms[0], terms[1], {*result, *later})]
    return as_symbol(net, terms[0].summed(net, result).arranged(net, result).value)


def parsed(equation: str, ranks: Sequence[int]) -> tuple[list[Labels], Labels]:
    """Return the labels of operands and result. Raises Refused for a malformed equation."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    sides = left.split(",")
    if len(sides) != len(ranks):
        raise Refused(f"needs {len(ranks)} operands in the equation, got {equation!r}")
    labels = [_labels(side, rank) for side, rank in zip(sides, ranks, strict=True)]
    every = [label for side in labels for label in side]
    widest = max((label - ELLIPSIS + 1 for label in every if label >= ELLIPSIS), default=0)
    if arrow:
        return labels, _labels(right, len(right.replace("...", "")) + widest)
    dots = sorted({label for label in every if label >= ELLIPSIS}, reverse=True)
    once = sorted(label for label in set(every) if label < ELLIPSIS and every.count(label) == 1)
    return labels, (*dots, *once)


def _labels(side: str, rank: int) -> Labels:
    """Return one label per axis: letters as integers, the axes of an ellipsis from its last."""
    before, dots, after = side.partition("...")
    wide = rank - len(before) - len(after) if dots else 0
    between = range(ELLIPSIS + wide - 1, ELLIPSIS - 1, -1)
    return (*map(ord, before), *between, *map(ord, after))


@dataclass(frozen=True)
class _Term:
    """Holds a tensor with a label for each of its axes."""

    value: Operand
    labels: Labels

    def sizes(self, label: int) -> tuple[int, int]:
        """Return the size of a labelled axis at both batch sizes."""
        shape, other = _both(self.value)
        axis = self.labels.index(label)
        return shape[axis], other[axis]

    def diagonal(self, net: Emitter) -> _Term:
        """Merge axes of the same label into their diagonal."""
        for label in self.labels:
            if self.labels.count(label) > 1:
                return self._without_twin(net, label).diagonal(net)
        return self

    def _without_twin(self, net: Emitter, label: int) -> _Term:
        one = self.labels.index(label)
        two = self.labels.index(label, one + 1)
        labels = (*(other for i, other in enumerate(self.labels) if i not in (one, two)), label)
        if isinstance(self.value, Tensor):
            return _Term(self.value.diagonal(0, one, two), labels)
        index, other = (
            positions(sizes).diagonal(0, one, two)
            for sizes in (self.value.shape, self.value.other_shape)
        )
        return _Term(take_at(net, self.value, index, other), labels)

    def permuted(self, net: Emitter, order: Sequence[int]) -> _Term:
        labels = tuple(self.labels[axis] for axis in order)
        if labels == self.labels:
            return self
        if isinstance(self.value, Tensor):
            return _Term(self.value.permute(tuple(order)), labels)
        return _Term(net.add(Permute(order=tuple(order)), self.value, suffix="permuted"), labels)

    def arranged(self, net: Emitter, labels: Sequence[int]) -> _Term:
        """Return the term with its axes in the order of `labels`."""
        if set(labels) != set(self.labels):
            raise Refused("needs a result whose labels stand in an operand, got others")
        return self.permuted(net, [self.labels.index(label) for label in labels])

    def summed(self, net: Emitter, kept: Collection[int]) -> _Term:
        """Sum over the axes that are not in `kept`."""
        gone = [axis for axis, label in enumerate(self.labels) if label not in kept]
        if not gone:
            return self
        labels = tuple(label for label in self.labels if label in kept)
        if isinstance(self.value, Tensor):
            return _Term(self.value.sum(gone), labels)
        return _Term(reduced(net, ReduceOp.SUM, self.value, gone, False, suffix="sum"), labels)

    def without_ones(self, net: Emitter, other: _Term) -> _Term:
        """Remove axes of size 1 where the other term's axis is longer: they broadcast."""
        axes = [
            axis
            for axis, label in enumerate(self.labels)
            if label in other.labels and self._repeats(net, label, other)
        ]
        if not axes:
            return self
        kept = [axis for axis in range(len(self.labels)) if axis not in axes]
        value = self.shaped(net, lambda s: tuple(s[axis] for axis in kept), "squeezed")
        return _Term(value, tuple(self.labels[axis] for axis in kept))

    def _repeats(self, net: Emitter, label: int, other: _Term) -> bool:
        mine, theirs = self.sizes(label), other.sizes(label)
        if mine == (1, 1):
            return theirs != mine
        if any(size == 1 < wanted for size, wanted in zip(mine, theirs, strict=True)):
            net.fix_batch(f"{net.scope[0]} repeats the only sample")
        return False

    def shaped(self, net: Emitter, view: View, suffix: str) -> Operand:
        if isinstance(self.value, Tensor):
            return self.value.reshape(view(tuple(self.value.shape)))
        return viewed(net, self.value, view, suffix)


def _times(net: Emitter, one: _Term, two: _Term, kept: Collection[int]) -> _Term:
    """Multiply two terms and sum over the labels that are not in `kept`."""
    one, two = one.without_ones(net, two), two.without_ones(net, one)
    one = one.summed(net, {*kept, *two.labels})
    two = two.summed(net, {*kept, *one.labels})
    common = [label for label in one.labels if label in two.labels]
    terms = [label for label in common if label not in kept]
    batch = [label for label in common if label in kept]
    left = [label for label in one.labels if label not in common]
    right = [label for label in two.labels if label not in common]
    if not terms:
        return _outer(net, one, two, (*batch, *left, *right))
    ends = _Ends(batch, left, terms, right)
    if isinstance(one.value, Tensor) and _carry_batch(two, right):
        return _times(net, two, one, kept)
    if batch and isinstance(one.value, Tensor):
        return _by_groups(net, two, one, _Ends(batch, right, terms, left))
    if batch and isinstance(two.value, Tensor):
        return _by_groups(net, one, two, ends)
    if isinstance(two.value, Tensor) and len(terms) == len(right) == 1 and _carry_batch(one, left):
        return _along_axis(net, one, two, terms[0], right[0])
    first = one.arranged(net, [*batch, *left, *terms])
    second = two.arranged(net, [*batch, *terms, *right])
    counts = len(batch), len(left), len(terms), len(right)
    made = product(net, _rows(net, first, counts), _columns(net, second, counts))
    value = _spread(net, made, first, second, counts)
    return _Term(value, (*batch, *left, *right))


class _Ends(NamedTuple):
    """Holds the labels of a product: of both terms and kept, of one, summed over, of the other."""

    batch: list[int]
    left: list[int]
    terms: list[int]
    right: list[int]


def _carry_batch(term: _Term, labels: Sequence[int]) -> bool:
    """Return whether one of the axes with these labels follows the batch."""
    return any(one != other for one, other in map(term.sizes, labels))


def _along_axis(net: Emitter, traced: _Term, constant: _Term, old: int, new: int) -> _Term:
    """Multiply one axis by a constant matrix; all others stay in place, the batch among them."""
    axis = traced.labels.index(old)
    matrix = as_float32(constant.arranged(net, [new, old]).value).contiguous()
    layer = AxisMatrix(axis=axis, rows=len(matrix))
    made = net.add(layer, as_symbol(net, traced.value), blobs=[matrix], suffix="product")
    labels = (*traced.labels[:axis], new, *traced.labels[axis + 1 :])
    return _Term(made, labels)


def _by_groups(net: Emitter, traced: _Term, constant: _Term, ends: _Ends) -> _Term:
    """Multiply by a constant for each index of the batch labels: a 1x1 convolution of groups."""
    batch, left, terms, right = ends
    image = traced.arranged(net, [*left, *batch, *terms])
    split = len(left)
    flat = image.shaped(net, lambda s: (prod(s[:split]), prod(s[split:]), 1, 1), "groups")
    weight = constant.arranged(net, [*batch, *right, *terms])
    sizes = [weight.sizes(label)[0] for label in (*batch, *right)]
    count = prod(sizes[: len(batch)])
    layer = Convolution(num_output=prod(sizes), group=count, kernel_size=(1,), bias_term=False)
    blob = as_float32(weight.value).reshape(prod(sizes), -1, 1, 1)
    made = net.add(layer, as_symbol(net, flat), blobs=[blob], suffix="product")
    shape, other = _both(image.value)
    value = reshaped(net, made, (*shape[:split], *sizes), (*other[:split], *sizes))
    return _Term(value, (*left, *batch, *right))


def _rows(net: Emitter, term: _Term, ends: Sequence[int]) -> Operand:
    batch, left, _, _ = ends
    return term.shaped(
        net, lambda s: (*s[:batch], prod(s[batch : batch + left]), prod(s[batch + left :])), "rows"
    )


def _columns(net: Emitter, term: _Term, ends: Sequence[int]) -> Operand:
    batch, _, terms, _ = ends
    return term.shaped(
        net,
        lambda s: (*s[:batch], prod(s[batch : batch + terms]), prod(s[batch + terms :])),
        "columns",
    )


def _spread(net: Emitter, made: Symbol, first: _Term, second: _Term, ends: Sequence[int]) -> Symbol:
    """Reshape the product so that each label has its own axis again."""
    batch, left, terms, _ = ends
    one, two = (_both(term.value) for term in (first, second))
    shape, other = (
        (*a[: batch + left], *b[batch + terms :]) for a, b in zip(one, two, strict=True)
    )
    return reshaped(net, made, shape, other)


def _both(value: Operand) -> tuple[Shape, Shape]:
    if isinstance(value, Symbol):
        return value.shape, value.other_shape
    return tuple(value.shape), tuple(value.shape)


def _outer(net: Emitter, one: _Term, two: _Term, labels: Labels) -> _Term:
    """Multiply elementwise without a sum, each term broadcast along the labels it does not have."""
    spread = [_wide(net, term, labels) for term in (one, two)]
    if all(isinstance(value, Tensor) for value in spread):
        return _Term(spread[0] * spread[1], labels)  # type: ignore[operator]
    return _Term(mul(net, spread[0], spread[1]), labels)


def _wide(net: Emitter, term: _Term, labels: Labels) -> Operand:
    present = [label for label in labels if label in term.labels]
    axes = [present.index(label) if label in present else None for label in labels]
    return term.arranged(net, present).shaped(
        net, lambda s: tuple(1 if axis is None else s[axis] for axis in axes), "wide"
    )
