"""IndexMap: a constant choice of indices along each of several consecutive axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from caffe2fx.messages.message import Shape
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.record import IntermediateRecord
from fx2caffe.ir.symbol import Symbol

Indices = tuple[int, ...]
PADDING = -1


@dataclass(frozen=True, kw_only=True)
class IndexMap(IntermediateRecord):
    """Compute top[.., i, j, ..] = bottom[.., f[i], g[j], ..] over the axes from `first` on.

    Each of these axes has a blob that lists its indices; index -1 is padding and gives `outside`.
    """

    type = "IndexMap"

    first: int
    sizes: Shape  # sizes of the mapped axes in the top
    outside: float = 0.0

    @property
    def axes(self) -> range:
        """Return the axes that are indexed."""
        return range(self.first, self.first + len(self.sizes))

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        return tuple((size,) for size in self.sizes)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return ((*bottoms[0][: self.first], *self.sizes, *bottoms[0][self.axes.stop :]),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        top = bottoms[0]
        for axis, blob in zip(self.axes, blobs, strict=True):
            shape = [-1 if other == axis else 1 for other in range(top.dim())]
            is_padding = (blob == PADDING).reshape(shape)
            top = top.index_select(axis, blob.long().clamp(min=0))
            top = top.masked_fill(is_padding, self.outside)
        return (top,)


def index_map(
    net: Emitter,
    input: Symbol,
    indices: Mapping[int, Sequence[int]],
    outside: float = 0.0,
    suffix: str = "",
) -> Symbol:
    """Index the given axes, in one record unless an axis between them carries the batch."""
    maps = {a: p for a, p in indices.items() if not is_whole(input, a, p)}
    if not maps:
        return input
    first, last = min(maps), max(maps)
    if any(input.carries_batch(axis) and axis not in maps for axis in range(first, last)):
        for axis, one in maps.items():
            input = index_map(net, input, {axis: one}, outside, suffix)
        return input
    lists = [tuple(maps.get(a, range(input.shape[a]))) for a in range(first, last + 1)]
    layer = IndexMap(first=first, sizes=tuple(map(len, lists)), outside=outside)
    return net.add(layer, input, blobs=[torch.tensor(p) for p in lists], suffix=suffix)


def is_whole(input: Symbol, axis: int, indices: Sequence[int]) -> bool:
    """Return whether the indices are those of the whole axis in order, at every batch size."""
    size = input.shape[axis]
    return len(indices) == size == input.other_shape[axis] and tuple(indices) == tuple(range(size))


class Span(NamedTuple):
    """Holds a strided slice (start, step, length) with `before` and `after` zeros of padding."""

    before: int
    start: int
    step: int
    length: int
    after: int

    @classmethod
    def of(cls, indices: Indices) -> Span | None:
        """Return the indices as a strided slice with padding, None if they are not one."""
        inside = [index for index, one in enumerate(indices) if one != PADDING]
        if not inside:
            return None
        core = indices[inside[0] : inside[-1] + 1]
        step = core[1] - core[0] if len(core) > 1 else 1
        if step < 1 or core != tuple(range(core[0], core[0] + step * len(core), step)):
            return None
        return cls(inside[0], core[0], step, len(core), len(indices) - 1 - inside[-1])

    @property
    def is_cut(self) -> bool:
        """Return whether the span is a contiguous range without padding."""
        return self.step == 1 and self.before == self.after == 0

    def is_window(self, size: int) -> bool:
        """Return whether 1x1 windows give it: strided from index 0, or padded alike at the ends."""
        if self.start != 0 or self.before != self.after:
            return False
        return self.length == ((size - 1) // self.step + 1 if not self.before else size)
