"""Functions that only move elements, emitted by running them on a tensor of flat indices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from caffe2fx.layers import Tile
from caffe2fx.messages.message import Shape
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.gather import Gather
from fx2caffe.ir.index_map import index_map
from fx2caffe.ir.permute import Permute
from fx2caffe.ir.reshape import reshaped
from fx2caffe.ir.symbol import Refused, Symbol

Indices = tuple[int, ...]


def positions(shape: Shape, first: int = 0) -> Tensor:
    """Return a tensor of that shape that holds each element's flat index, counted from `first`."""
    return torch.arange(first, first + prod(shape)).reshape(shape)


def rearrange(net: Emitter, input: Symbol, move: Callable[[Tensor], Tensor]) -> Symbol:
    """Emit a torch function that only moves elements, as found by running it on flat indices.

    `move` runs at both batch sizes. Use `take_at` where the indices are known, `viewed` or
    `reshaped` where only the shape changes.
    """
    return take_at(net, input, move(positions(input.shape)), move(positions(input.other_shape)))


def take_at(net: Emitter, input: Symbol, index: Tensor, other: Tensor) -> Symbol:
    """Gather the elements of `input` at the flat indices `index`, whose shape the result has.

    `other` are the indices into `input` at the other batch size. Raises Refused if `index` is
    empty.
    """
    if 0 in index.shape:
        raise Refused(f"needs a result with elements in it, got shape {tuple(index.shape)}")
    shapes = tuple(index.shape), tuple(other.shape)
    # The larger batch is read: an axis of size 1 does not show which axis it follows.
    move = Move.of(other, input.other_shape)
    if move is None or not torch.equal(move.index(input.shape, shapes[0]), index):
        return _scattered(net, input, index, other)
    taken = {axis: indices for axis, indices in enumerate(move.indices) if indices is not None}
    symbol = index_map(net, input, taken, suffix="select")
    if move.order != tuple(sorted(move.order)):
        order = [*(a for a in range(input.rank) if a not in move.order), *move.order]
        symbol = net.add(Permute(order=tuple(order)), symbol, suffix="permute")
    shape, following = (
        tuple(1 if a in move.copied else s for a, s in enumerate(shape)) for shape in shapes
    )
    symbol = reshaped(net, symbol, shape, following)
    grown = [axis for axis in move.copied if shapes[0][axis] != shapes[1][axis]]
    if grown:
        net.fix_batch(f"{net.scope[0]} repeats along axis {grown[0]} with the batch")
    for axis in move.copied:
        symbol = net.add(Tile(axis=axis, tiles=shapes[0][axis]), symbol, suffix="tile")
    return replace(symbol, other_shape=shapes[1]) if move.copied else symbol


@dataclass(frozen=True)
class Move:
    """Holds a gather that factors by axis: the indices read along each (None for all).

    `drivers[a]` is the axis of the result along which input axis `a` is read (-1: at one index
    only), `copied` are the axes along which the result repeats.
    """

    indices: tuple[Indices | None, ...]
    drivers: Shape
    copied: Shape

    @property
    def order(self) -> Shape:
        """Return the input axes that the result keeps, in the order of the result."""
        alive = [axis for axis, driver in enumerate(self.drivers) if driver >= 0]
        return tuple(sorted(alive, key=self.drivers.__getitem__))

    @classmethod
    def of(cls, index: Tensor, shape: Shape) -> Move | None:
        """Factor a tensor of flat indices by axis; return None where it does not factor."""
        lines = _lines(index, shape)
        drivers = [
            [o for o, line in enumerate(lines) if bool((line[:, axis] != line[0, axis]).any())]
            for axis in range(len(shape))
        ]
        driven = [o for found in drivers for o in found]
        if any(len(found) > 1 for found in drivers) or len(set(driven)) < len(driven):
            return None
        only = tuple(found[0] if found else -1 for found in drivers)
        start = _coordinates(index.reshape(-1)[:1], shape)[0]
        indices = [
            tuple(lines[o][:, a].tolist()) if o >= 0 else (int(start[a]),)
            for a, o in enumerate(only)
        ]
        whole = [None if p == tuple(range(n)) else p for p, n in zip(indices, shape, strict=True)]
        copied = tuple(o for o, n in enumerate(index.shape) if n > 1 and o not in driven)
        move = cls(tuple(whole), only, copied)
        return move if torch.equal(move.index(shape, tuple(index.shape)), index) else None

    def index(self, shape: Shape, result: Shape) -> Tensor:
        """Return the flat indices read in an input of that shape, none if the move does not fit."""
        total = torch.zeros(result, dtype=torch.int64)
        for axis, (indices, driver) in enumerate(zip(self.indices, self.drivers, strict=True)):
            line = torch.arange(shape[axis]) if indices is None else torch.tensor(indices)
            if driver >= 0:
                if len(line) != result[driver]:
                    return torch.empty(0)
                line = line.reshape([-1 if o == driver else 1 for o in range(len(result))])
            elif len(line) != 1:
                return torch.empty(0)
            else:
                line = line[0]
            total += line * prod(shape[axis + 1 :])
        return total


def _coordinates(index: Tensor, shape: Shape) -> Tensor:
    """Convert flat indices to coordinates, (len(index), rank)."""
    steps = torch.tensor([prod(shape[axis + 1 :]) for axis in range(len(shape))], dtype=torch.int64)
    return (index[:, None] // steps) % torch.tensor(shape, dtype=torch.int64)


def _lines(index: Tensor, shape: Shape) -> list[Tensor]:
    """Return the coordinates that the index reads along each of its axes, the others being at 0."""
    return [_coordinates(line_at_origin(index, axis), shape) for axis in range(index.dim())]


def line_at_origin(value: Tensor, *axes: int) -> Tensor:
    """Return the slice of a tensor along some of its axes, at index 0 of all others."""
    for axis in range(value.dim()):
        if axis not in axes:
            value = value.narrow(axis, 0, 1)
    return value.reshape([value.shape[axis] for axis in axes])


def _scattered(net: Emitter, input: Symbol, index: Tensor, other: Tensor) -> Symbol:
    """Take indices that do not factor by axis; the batch stays free if all samples share them."""
    shapes = tuple(index.shape), tuple(other.shape)
    local = [
        _each_sample(i, source) if input.shape != input.other_shape else None
        for i, source in ((index, input.shape), (other, input.other_shape))
    ]
    if local[0] is not None and local[1] is not None and torch.equal(local[0], local[1]):
        gather = Gather(first=1, last=input.rank - 1, sizes=shapes[0][1:])
        return net.add(gather, input, blobs=[local[0]])
    if shapes[0] != shapes[1] or not torch.equal(index, other):
        name, _ = net.scope
        net.fix_batch(f"{name} reads other indices with another batch")
    gather = Gather(first=0, last=input.rank - 1, sizes=shapes[0])
    return replace(net.add(gather, input, blobs=[index.flatten()]), other_shape=shapes[1])


def _each_sample(index: Tensor, source: Shape) -> Tensor | None:
    """Return the flat indices within one sample, if all samples (axis 0) read the same ones."""
    if not index.dim() or index.shape[0] != source[0]:
        return None
    starts = torch.arange(source[0])[:, None] * prod(source[1:])
    local = index.reshape(source[0], -1) - starts
    return local[0] if bool((local == local[:1]).all()) else None


def box_of(mask: Tensor) -> list[Sequence[int]] | None:
    """Return the indices of each axis whose grid is exactly the mask's true elements, or None."""
    axes = range(mask.dim())
    hits = [mask.any(dim=[a for a in axes if a != axis]).nonzero().flatten() for axis in axes]
    if mask.dim() == 1:
        hits = [mask.nonzero().flatten()]
    return [h.tolist() for h in hits] if prod(map(len, hits)) == int(mask.sum()) else None
