"""gather, index_select, take and embedding, with indices that the net computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe2fx.layers import AbsVal, ArgMax, BatchReindex, Embed, Flatten, Power, Reduction, Reshape
from caffe2fx.messages.message import Shape
from fx2caffe.ir.axis_matrix import AxisMatrix
from fx2caffe.ir.binary import Binary, BinaryOp
from fx2caffe.ir.constants import as_float32, as_symbol
from fx2caffe.ir.data_movement import positions, rearrange
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.gather import DENSE, ROWS
from fx2caffe.ir.reduce import ReduceOp
from fx2caffe.ir.reshape import reshaped, viewed
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.arguments import positive
from fx2caffe.ops.blocks import above, difference, inside, negated, opposite, product, weighted_sum
from fx2caffe.ops.division import floor_divide
from fx2caffe.ops.reduction import reduced

Operand = Symbol | Tensor


def rows_of(net: Emitter, table: Operand, numbers: Symbol, suffix: str = "") -> Symbol:
    """The rows (axis 0) of a table by their numbers: the shape of `numbers`, then of a row.

    A constant table is the weight of an Embed, which any batch of numbers can ask.
    """
    count = table.shape[0]
    if count > ROWS:
        raise Refused(f"needs at most {ROWS} rows to pick from, got {count}")
    if isinstance(table, Tensor):
        row = tuple(table.shape[1:])
        layer = Embed(num_output=prod(row), input_dim=count, bias_term=False)
        weight = as_float32(table).reshape(count, -1)
        found = net.add(layer, numbers, blobs=[weight], suffix=suffix or "rows")
        return viewed(net, found, lambda s: (*s[:-1], *row), suffix="shaped")
    return _reindexed(net, table, numbers, suffix)


def _reindexed(net: Emitter, table: Symbol, numbers: Symbol, suffix: str) -> Symbol:
    line = viewed(net, numbers, lambda s: (prod(s),), suffix="elements")
    found = net.add(BatchReindex(), table, line, suffix=suffix or "rows")
    shape, other = (
        (*numbers.shape, *table.shape[1:]),
        (*numbers.other_shape, *table.other_shape[1:]),
    )
    return reshaped(net, found, shape, other, suffix="shaped")


def one_hot_of(net: Emitter, numbers: Symbol, count: int, suffix: str = "one_hot") -> Symbol:
    """Encode each index one-hot along a new last axis."""
    if count**2 <= DENSE:
        layer = Embed(num_output=count, input_dim=count, bias_term=False)
        return net.add(layer, numbers, blobs=[torch.eye(count)], suffix=suffix)
    last = viewed(net, numbers, lambda s: (*s, 1), suffix="last")
    steps = difference(net, last, torch.arange(count), "steps")
    other = above(net, net.add(AbsVal(), steps, suffix="distance"), 0.5, "other")
    return opposite(net, other, suffix)


@handles(torch.gather)
def gather(
    net: Emitter, input: Operand, dim: int, index: Operand, *, sparse_grad: bool = False
) -> Symbol:
    """result[i, j] = input[index[i, j], j], for dim 0."""
    if isinstance(index, Tensor):
        assert isinstance(input, Symbol)  # a call of constants alone is not traced
        return rearrange(net, input, lambda x: x.gather(dim, index))
    source = as_symbol(net, input, suffix="input")
    source = viewed(net, source, lambda s: s or (1,), suffix="flat")
    places = viewed(net, index, lambda s: s or (1,), suffix="indices")
    axis = positive(dim, source.rank)
    free = any(s.shape != s.other_shape for s in (source, places))
    work = prod(places.shape[1:]) * source.shape[axis]
    if free and axis > 0 and work <= DENSE and not places.carries_batch(axis):
        top = _by_one_hot(net, source, axis, places)
    else:
        top = _by_number(net, source, axis, places)
    return reshaped(net, top, index.shape, index.other_shape)


def _by_one_hot(net: Emitter, input: Symbol, axis: int, index: Symbol) -> Symbol:
    """Each line times ones and zeros, summed: the batch stays free."""
    line = _cut_to(net, rearrange(net, input, lambda x: x.movedim(axis, -1)), axis, index)
    asked = rearrange(net, index, lambda x: x.movedim(axis, -1))
    ones = one_hot_of(net, asked, input.static_size(axis))
    apart = viewed(net, line, lambda s: (*s[:-1], 1, s[-1]), suffix="unsqueezed")
    chosen = net.add(Binary(op=BinaryOp.MUL), ones, apart, suffix="selected")
    found = net.add(Reduction(axis=-1), chosen, suffix="found")
    return rearrange(net, found, lambda x: x.movedim(-1, axis))


def _cut_to(net: Emitter, line: Symbol, axis: int, index: Symbol) -> Symbol:
    """The lines that the index asks; it may have fewer than the input on the other axes."""
    kept = tuple(n for a, n in enumerate(index.shape) if a != axis)
    others = tuple(n for a, n in enumerate(index.other_shape) if a != axis)
    if line.shape[:-1] == kept and line.other_shape[:-1] == others:
        return line
    if any(line.carries_batch(a) and line.shape[a] != n for a, n in enumerate(kept)):
        net.fix_batch(f"{net.scope[0]} picks from some samples only")
    ends = [None if line.carries_batch(axis) else size for axis, size in enumerate(kept)]
    return rearrange(net, line, lambda x: x[tuple(slice(end) for end in ends)])


def _by_number(net: Emitter, input: Symbol, axis: int, index: Symbol) -> Symbol:
    """Rows of one number each, counted over the whole input."""
    if input.shape != input.other_shape or index.shape != index.other_shape:
        net.fix_batch(f"{net.scope[0]} counts its places over all samples")
    start = positions(input.shape).narrow(axis, 0, 1)
    kept = [slice(size if a != axis else None) for a, size in enumerate(index.shape)]
    start = start[tuple(kept)].expand(index.shape)
    step = prod(input.shape[axis + 1 :])
    steps = index if step == 1 else product(net, index, float(step), "steps")
    numbers = weighted_sum(net, steps, start, suffix="indices")
    return rows_of(net, _column(net, input), numbers)


def _column(net: Emitter, input: Symbol) -> Symbol:
    """All numbers as rows."""
    return viewed(net, input, lambda s: (prod(s),), suffix="flat")


@handles(torch.take_along_dim)
def take_along_dim(
    net: Emitter, input: Operand, indices: Operand, dim: int | None = None, *, out: Expected
) -> Symbol:
    """`gather`, with input and indices repeated to each other's size on the other axes."""
    if dim is None:
        line, places = (viewed_any(net, each, (-1,)) for each in (input, indices))
        found = take_along_dim(net, line, places, 0, out=out)
        return reshaped(net, found, out.shape, out.other_shape)
    if isinstance(indices, Tensor):
        assert isinstance(input, Symbol)  # a call of constants alone is not traced
        return rearrange(net, input, lambda x: x.take_along_dim(indices, dim))
    source = as_symbol(net, input, suffix="input")
    axis = positive(dim, source.rank)
    places, twice = _from_front(net, indices, source.static_size(axis))
    assert isinstance(places, Symbol)  # as the indices are
    doubled = _twice(net, _grown(net, source, axis, indices), [axis] if twice else [])
    return gather(net, doubled, axis, _grown(net, places, axis, source))


def viewed_any(net: Emitter, value: Operand, shape: Shape) -> Operand:
    """A constant or traced tensor in another shape that follows from its number of elements."""
    if isinstance(value, Tensor):
        return value.reshape(shape)
    return viewed(net, value, lambda s: (prod(s),), suffix="flat")


def _grown(net: Emitter, input: Symbol, axis: int, like: Symbol) -> Symbol:
    """The input repeated along its axes of 1 where the other is longer, except on one."""
    sizes = [1 if a == axis else n for a, n in enumerate(like.shape)]
    if all(n in (1, m) for n, m in zip(sizes, input.shape, strict=True)):
        return input
    return rearrange(
        net,
        input,
        lambda x: x.expand([-1 if m != 1 else n for n, m in zip(sizes, x.shape, strict=True)]),
    )


@handles(torch.index_select)
def index_select(net: Emitter, input: Operand, dim: int, index: Operand) -> Symbol:
    if isinstance(index, Tensor):
        assert isinstance(input, Symbol)  # a call of constants alone is not traced
        return rearrange(net, input, lambda x: x.index_select(dim, index))
    if not len(input.shape):
        raise Refused("needs a tensor with axes, got a scalar")
    numbers = viewed(net, index, lambda s: s or (1,), suffix="elements")
    axis = positive(dim, max(1, input.dim() if isinstance(input, Tensor) else input.rank))
    return _picked(net, input, [axis], numbers, axis)


def _picked(
    net: Emitter, input: Operand, axes: Sequence[int], numbers: Symbol, place: int
) -> Symbol:
    """Of some axes seen as one, the places of these numbers; their axes come to stand at `place`.

    The other axes, and the batch among them, are part of the rows.
    """
    rank = input.dim() if isinstance(input, Tensor) else input.rank
    order = [*axes, *(axis for axis in range(rank) if axis not in axes)]
    count = len(axes)
    table: Operand
    if isinstance(input, Tensor):
        table = input.permute(order).flatten(0, count - 1)
    else:
        front = rearrange(net, input, lambda x: x.permute(order))
        table = viewed(net, front, lambda s: (prod(s[:count]), *s[count:]), suffix="table")
    found = rows_of(net, table, numbers)
    many = numbers.rank
    back = [
        *range(many, many + place),
        *range(many),
        *range(many + place, many + rank - count),
    ]
    return rearrange(net, found, lambda x: x.permute(back))


@handles(torch.take)
def take(net: Emitter, input: Operand, index: Operand) -> Symbol:
    if isinstance(index, Tensor):
        assert isinstance(input, Symbol)  # a call of constants alone is not traced
        return rearrange(net, input, lambda x: x.take(index))
    line = viewed_any(net, input, (-1,))
    if isinstance(line, Symbol) and line.carries_batch(0):
        net.fix_batch(f"{net.scope[0]} counts its places over all samples")
    return indexed(net, line, index)


@dataclass(frozen=True)
class _Parts:
    """An index as what only cuts, and the tensors, by the axis of the cut input they pick from."""

    basic: tuple[Any, ...]
    tensors: tuple[tuple[int, Operand], ...]

    @classmethod
    def of(cls, index: Any, rank: int) -> _Parts:
        parts = list(index) if isinstance(index, tuple | list) else [index]
        used = sum(_axes_used(part) for part in parts)
        if Ellipsis not in [part for part in parts if not isinstance(part, Symbol | Tensor)]:
            parts.append(Ellipsis)
        basic: list[Any] = []
        tensors: list[tuple[int, Operand]] = []
        axis = 0
        for part in parts:
            if part is Ellipsis:
                basic += [slice(None)] * (rank - used)
                axis += rank - used
            elif isinstance(part, Symbol | Tensor | list):
                for one in _as_places(part):
                    basic.append(slice(None))
                    tensors.append((axis, one))
                    axis += 1
            else:
                basic.append(part)
                axis += not isinstance(part, int)
        return cls(tuple(basic), tuple(tensors))


def _axes_used(part: Any) -> int:
    if part is None or part is Ellipsis:
        return 0
    if isinstance(part, Tensor) and part.dtype is torch.bool:
        return part.dim()
    return 1


def _as_places(part: Symbol | Tensor | list[Any]) -> Sequence[Operand]:
    if isinstance(part, Symbol):
        return (part,)
    tensor = torch.as_tensor(part)
    return tensor.nonzero(as_tuple=True) if tensor.dtype is torch.bool else (tensor,)


def indexed(net: Emitter, input: Operand, index: Any) -> Symbol:
    """input[index], where the index has traced tensors in it."""
    rank = input.dim() if isinstance(input, Tensor) else input.rank
    parts = _Parts.of(index, rank)
    cut = _moved(net, input, lambda x: x[parts.basic])
    axes = [axis for axis, _ in parts.tensors]
    adjacent = axes == list(range(axes[0], axes[0] + len(axes)))
    if not adjacent and any(_rank(tensor) == 0 for _, tensor in parts.tensors):
        raise Refused("needs index tensors of rank 1 or more where slices stand between them")
    sizes = [cut.shape[axis] for axis in axes]
    places = [
        _from_front(net, tensor, size)
        for (_, tensor), size in zip(parts.tensors, sizes, strict=True)
    ]
    cut = _twice(net, cut, [axis for axis, (_, twice) in zip(axes, places, strict=True) if twice])
    longer = [size * (1 + twice) for size, (_, twice) in zip(sizes, places, strict=True)]
    numbers = _numbers(net, [place for place, _ in places], longer)
    return _picked(net, cut, axes, numbers, axes[0] if adjacent else 0)


def _moved(net: Emitter, input: Operand, move: Callable[[Tensor], Tensor]) -> Operand:
    return move(input) if isinstance(input, Tensor) else rearrange(net, input, move)


def _rank(value: Operand) -> int:
    return value.dim() if isinstance(value, Tensor) else value.rank


def _from_front(net: Emitter, places: Operand, size: int) -> tuple[Operand, bool]:
    """Places counted from the front, and whether of an axis that has to stand there twice.

    A place may be counted from the end, -1 being the last: on an axis twice as long, `size`
    places further there is always one, and it holds the same number.
    """
    if isinstance(places, Tensor):
        return torch.where(places < 0, places + size, places), False
    if is_from_front(net, places):
        return places, False
    return net.add(Power(shift=size), places, suffix="second"), True


def is_from_front(net: Emitter, places: Symbol) -> bool:
    """Whether places are sure not to be negative, as those that ArgMax gives."""
    made = {top: step for step in net.steps for top in step.tops}
    step = made[places.value]
    while isinstance(step.layer, Reshape | Flatten | Power) and step.bottoms[0] in made:
        turned = isinstance(step.layer, Power) and step.layer != Power(
            scale=-1, shift=step.layer.shift
        )
        if turned:
            return False
        step = made[step.bottoms[0]]
    return isinstance(step.layer, ArgMax) and not step.layer.out_max_val


def _twice(net: Emitter, input: Operand, axes: Sequence[int]) -> Operand:
    """The input with its numbers twice along each of some axes."""
    if not axes:
        return input
    times = [2 if axis in axes else 1 for axis in range(_rank(input))]
    return _moved(net, input, lambda x: x.repeat(times))


def _numbers(net: Emitter, places: Sequence[Operand], sizes: Sequence[int]) -> Symbol:
    """The places on several axes as one number each."""
    total: Operand | None = None
    for position, place in enumerate(places):
        step = prod(sizes[position + 1 :])
        term = _times(net, place, step)
        total = term if total is None else _plus(net, total, term)
    assert isinstance(total, Symbol)  # an index of constants alone takes another way
    return total


def _times(net: Emitter, places: Operand, step: int) -> Operand:
    if step == 1:
        return places
    return places * step if isinstance(places, Tensor) else product(net, places, step, "steps")


def _plus(net: Emitter, one: Operand, two: Operand) -> Operand:
    if isinstance(one, Tensor) and isinstance(two, Tensor):
        return one + two
    return weighted_sum(net, one, two, suffix="indices")


@handles(torch.unravel_index)
def unravel_index(net: Emitter, indices: Symbol, shape: int | Sequence[int]) -> tuple[Symbol, ...]:
    """The place on each axis: how often the numbers behind it go into what is left."""
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    places, rest = [], indices
    for axis in range(len(sizes) - 1):
        step = prod(sizes[axis + 1 :])
        places.append(inside(net, f"axis{axis}", floor_divide, rest, step))
        rest = weighted_sum(net, rest, places[-1], (1.0, -float(step)), f"rest{axis}")
    return *places, rest


@handles(F.one_hot)
def one_hot(net: Emitter, tensor: Symbol, num_classes: int = -1) -> Symbol:
    if num_classes < 1:
        raise Refused("needs num_classes, which otherwise depends on the data, got -1")
    return one_hot_of(net, tensor, num_classes, suffix="")


@handles(F.embedding)
def embedding(
    net: Emitter,
    input: Operand,
    weight: Operand,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Symbol:
    if max_norm is not None:
        raise Refused(f"needs max_norm=None, since it changes the weight, got {max_norm}")
    return _embedded(net, input, weight)


def _embedded(net: Emitter, input: Operand, weight: Operand) -> Symbol:
    if isinstance(input, Symbol):
        return rows_of(net, weight, input)
    assert isinstance(weight, Symbol)  # a call of constants alone is not traced
    return rearrange(net, weight, lambda x: x[input])


@handles(F.embedding_bag)
def embedding_bag(
    net: Emitter,
    input: Operand,
    weight: Operand,
    offsets: Operand | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Operand | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Symbol:
    """Bags of equal length as rows of a matrix, or one after the other from constant offsets."""
    if max_norm is not None:
        raise Refused(f"needs max_norm=None, since it changes the weight, got {max_norm}")
    if padding_idx is not None:
        raise Refused(f"needs padding_idx=None, got {padding_idx}")
    rows = _embedded(net, input, weight)
    if per_sample_weights is not None:
        last = _unsqueezed(net, per_sample_weights)
        rows = product(net, rows, last, "weighted")
    if rows.rank == 3:
        return reduced(net, _BAGS[mode], rows, 1)
    if not isinstance(offsets, Tensor):
        raise Refused("needs constant offsets, got some that depend on the input")
    edges = [*offsets.tolist(), *([] if include_last_offset else [rows.static_size(0)])]
    return _bags(net, rows, list(pairwise(edges)), mode)


_BAGS = {"sum": ReduceOp.SUM, "mean": ReduceOp.MEAN, "max": ReduceOp.MAX}


def _unsqueezed(net: Emitter, value: Operand) -> Operand:
    if isinstance(value, Tensor):
        return value.unsqueeze(-1)
    return viewed(net, value, lambda s: (*s, 1), suffix="weights")


def _bags(net: Emitter, rows: Symbol, bags: Sequence[tuple[int, int]], mode: str) -> Symbol:
    """Sums and means as a matrix of weights; an empty bag gives zeros."""
    if mode == "max":
        raise Refused("needs bags of equal length, as rows of a matrix, for mode='max'")
    matrix = torch.zeros(len(bags), rows.static_size(0), dtype=torch.float64)
    for bag, (start, end) in enumerate(bags):
        matrix[bag, start:end] = 1 / (end - start) if mode == "mean" and end > start else 1
    return net.add(AxisMatrix(axis=0, rows=len(bags)), rows, blobs=[matrix])


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
    """How many numbers of a sequence are below each of the input, or (`right`) not above it."""
    values = as_symbol(net, torch.as_tensor(input) if not isinstance(input, Symbol) else input)
    numbers = as_symbol(net, sequence, suffix="sequence")
    last = viewed(net, values, lambda s: (*s, 1), suffix="last")
    if numbers.rank > 1:
        numbers = viewed(net, numbers, lambda s: (*s[:-1], 1, s[-1]), suffix="unsqueezed")
    first, second = (numbers, last) if right else (last, numbers)
    apart = net.add(Binary(op=BinaryOp.ADD, coeff=(1.0, -1.0)), first, second, suffix="difference")
    counted = above(net, apart, 0, "is_above")
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
    """Whether the distance to the nearest of the tested numbers is 0."""
    if isinstance(elements, Tensor) or isinstance(test_elements, Symbol):
        raise Refused("needs constant test_elements, got some that depend on the input")
    tested = torch.as_tensor(test_elements).flatten()
    last = viewed(net, elements, lambda s: (*s, 1), suffix="last")
    apart = net.add(AbsVal(), difference(net, last, tested, "steps"), suffix="distance")
    nearness = negated(net, apart, "nearness")
    nearest = reduced(net, ReduceOp.MAX, nearness, -1, suffix="nearest")
    is_other = above(net, negated(net, nearest, "distance"), 0, "" if invert else "is_other")
    return is_other if invert else opposite(net, is_other)
