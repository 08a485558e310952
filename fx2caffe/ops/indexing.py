"""index_select, take and subscripts by tensors of indices that the net computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from caffe2fx.layers import ArgMax, Flatten, Power, Reshape
from caffe2fx.messages.message import Shape
from fx2caffe.ir.data_movement import rearrange
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.reshape import viewed
from fx2caffe.ir.symbol import Operand, Refused, Symbol
from fx2caffe.lowering.refusal_reasons import DATA_SHAPE
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.arguments import positive
from fx2caffe.ops.blocks import below, combined, inside, product, weighted_sum
from fx2caffe.ops.division import floor_divide
from fx2caffe.ops.lookup import rows_of


def viewed_any(net: Emitter, value: Operand, shape: Shape) -> Operand:
    """Reshape a constant, or flatten a traced tensor (`shape` is (-1,) for it)."""
    if isinstance(value, Tensor):
        return value.reshape(shape)
    return viewed(net, value, lambda s: (prod(s),), suffix="flat")


@handles(torch.index_select)
def index_select(net: Emitter, input: Operand, dim: int, index: Operand) -> Symbol:
    if isinstance(index, Tensor):
        assert isinstance(input, Symbol)  # a call on constants is not lowered
        return rearrange(net, input, lambda x: x.index_select(dim, index))
    if not len(input.shape):
        raise Refused("needs a tensor with axes, got a scalar")
    flat_index = viewed(net, index, lambda s: s or (1,), suffix="elements")
    axis = positive(dim, max(1, input.dim() if isinstance(input, Tensor) else input.rank))
    return _picked(net, input, [axis], flat_index, axis)


def _picked(
    net: Emitter, input: Operand, axes: Sequence[int], flat_index: Symbol, first_axis: int
) -> Symbol:
    """Gather by flat indices over some axes, whose result axes start at axis `first_axis`.

    The other axes, the batch among them, are part of the rows.
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
    found = rows_of(net, table, flat_index)
    many = flat_index.rank
    back = [
        *range(many, many + first_axis),
        *range(many),
        *range(many + first_axis, many + rank - count),
    ]
    return rearrange(net, found, lambda x: x.permute(back))


@handles(torch.take)
def take(net: Emitter, input: Operand, index: Operand) -> Symbol:
    if isinstance(index, Tensor):
        assert isinstance(input, Symbol)  # a call on constants is not lowered
        return rearrange(net, input, lambda x: x.take(index))
    line = viewed_any(net, input, (-1,))
    if isinstance(line, Symbol) and line.carries_batch(0):
        net.fix_batch(f"{net.scope[0]} counts its indices over all samples")
    return indexed(net, line, index)


@dataclass(frozen=True)
class IndexParts:
    """Holds an index as its basic part, and its tensors with their axes of input[basic]."""

    basic: tuple[Any, ...]
    tensors: tuple[tuple[int, Operand], ...]

    @property
    def axes(self) -> list[int]:
        """Return the axes of input[basic] that the tensors index."""
        return [axis for axis, _ in self.tensors]

    @property
    def are_apart(self) -> bool:
        """Return whether slices are between the tensors."""
        first = self.tensors[0][0]
        return self.axes != list(range(first, first + len(self.tensors)))

    @property
    def first_axis(self) -> int:
        """Return where the tensors' own axes start in the result: at the front if apart."""
        return 0 if self.are_apart else self.axes[0]

    @classmethod
    def of(cls, index: Any, rank: int) -> IndexParts:
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
                for one in _as_indices(part):
                    basic.append(slice(None))
                    tensors.append((axis, one))
                    axis += 1
            else:
                basic.append(part)
                axis += not isinstance(part, int)
        made = cls(tuple(basic), tuple(tensors))
        if made.are_apart and any(_rank(tensor) == 0 for _, tensor in tensors):
            raise Refused("needs index tensors of rank 1 or more where slices are between them")
        if any(isinstance(one, Symbol) and one.dtype is torch.bool for _, one in tensors):
            raise Refused(DATA_SHAPE)
        return made


def _axes_used(part: Any) -> int:
    if part is None or part is Ellipsis:
        return 0
    if isinstance(part, Tensor) and part.dtype is torch.bool:
        return part.dim()
    return 1


def _as_indices(part: Symbol | Tensor | list[Any]) -> Sequence[Operand]:
    if isinstance(part, Symbol):
        return (part,)
    tensor = torch.as_tensor(part)
    return tensor.nonzero(as_tuple=True) if tensor.dtype is torch.bool else (tensor,)


def indexed(net: Emitter, input: Operand, index: Any) -> Symbol:
    """Compute input[index], where the index contains traced tensors."""
    rank = input.dim() if isinstance(input, Tensor) else input.rank
    parts = IndexParts.of(index, rank)
    cut = _moved(net, input, lambda x: x[parts.basic])
    axes = parts.axes
    sizes = [cut.shape[axis] for axis in axes]
    pairs = [
        from_front(net, tensor, size)
        for (_, tensor), size in zip(parts.tensors, sizes, strict=True)
    ]
    doubled = [axis for axis, (_, twice) in zip(axes, pairs, strict=True) if twice]
    cut = twice_along(net, cut, doubled)
    longer = [size * (1 + twice) for size, (_, twice) in zip(sizes, pairs, strict=True)]
    flat_index = flat_index_of(net, [one for one, _ in pairs], longer)
    return _picked(net, cut, axes, flat_index, parts.first_axis)


def _moved(net: Emitter, input: Operand, move: Callable[[Tensor], Tensor]) -> Operand:
    return move(input) if isinstance(input, Tensor) else rearrange(net, input, move)


def _rank(value: Operand) -> int:
    return value.dim() if isinstance(value, Tensor) else value.rank


def from_front(net: Emitter, indices: Operand, size: int) -> tuple[Operand, bool]:
    """Return nonnegative indices, and whether they are into an axis repeated twice.

    Negative indices count from the end: on an axis that is repeated twice, index + `size` is never
    negative and reads the same element.
    """
    if isinstance(indices, Tensor) or _is_from_front(net, indices):
        return wrapped(net, indices, size), False
    return net.add(Power(shift=size), indices, suffix="second"), True


def wrapped(net: Emitter, indices: Operand, size: int) -> Operand:
    """Return indices that count from the front, also where they counted from the end."""
    if isinstance(indices, Tensor):
        return torch.where(indices < 0, indices + size, indices)
    if _is_from_front(net, indices):
        return indices
    negative = below(net, indices, 0, "negative")
    return combined(net, [(1, indices), (size, negative)], "front")


def _is_from_front(net: Emitter, indices: Symbol) -> bool:
    """Return whether indices are certainly not negative, as those of ArgMax."""
    made = {top: step for step in net.steps for top in step.tops}
    step = made[indices.value]
    while isinstance(step.layer, Reshape | Flatten | Power) and step.bottoms[0] in made:
        turned = isinstance(step.layer, Power) and step.layer != Power(
            scale=-1, shift=step.layer.shift
        )
        if turned:
            return False
        step = made[step.bottoms[0]]
    return isinstance(step.layer, ArgMax) and not step.layer.out_max_val


def twice_along(net: Emitter, input: Operand, axes: Sequence[int]) -> Operand:
    """Repeat the input twice along each of the axes."""
    if not axes:
        return input
    times = [2 if axis in axes else 1 for axis in range(_rank(input))]
    return _moved(net, input, lambda x: x.repeat(times))


def flat_index_of(net: Emitter, indices: Sequence[Operand], sizes: Sequence[int]) -> Symbol:
    """Combine the indices of several axes to flat indices."""
    total: Operand | None = None
    for position, index in enumerate(indices):
        step = prod(sizes[position + 1 :])
        term = _times(net, index, step)
        total = term if total is None else _plus(net, total, term)
    assert isinstance(total, Symbol)  # an index of constants only is not handled here
    return total


def _times(net: Emitter, indices: Operand, step: int) -> Operand:
    if step == 1:
        return indices
    return indices * step if isinstance(indices, Tensor) else product(net, indices, step, "steps")


def _plus(net: Emitter, one: Operand, two: Operand) -> Operand:
    if isinstance(one, Tensor) and isinstance(two, Tensor):
        return one + two
    return weighted_sum(net, one, two, suffix="indices")


@handles(torch.unravel_index)
def unravel_index(net: Emitter, indices: Symbol, shape: int | Sequence[int]) -> tuple[Symbol, ...]:
    """Compute the index on each axis by floor division, and the remainder for the next."""
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    coordinates, rest = [], indices
    for axis in range(len(sizes) - 1):
        step = prod(sizes[axis + 1 :])
        coordinates.append(inside(net, f"axis{axis}", floor_divide, rest, step))
        rest = weighted_sum(net, rest, coordinates[-1], (1.0, -float(step)), f"rest{axis}")
    return *coordinates, rest
