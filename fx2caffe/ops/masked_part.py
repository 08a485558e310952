"""Writes where a computed mask is true, of a mask that stands beside numbers and slices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import EllipsisType
from typing import Any

import torch
from torch import Tensor

from caffe2fx.messages.message import Shape
from fx2caffe.ir.constants import as_float32
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.reshape import reshaped
from fx2caffe.ir.symbol import Operand, Refused, Symbol
from fx2caffe.ops.selection import select

Parts = tuple[Any, ...]
ALONE = "needs a mask alone, or beside numbers and slices, got another tensor of indices"
SAME = "needs a value that is the same for each element of a mask, got shape {}"


@dataclass(frozen=True)
class MaskedPart:
    """Holds an index of one mask beside numbers and slices: x[1:, mask, 0].

    `basic` is the index with whole axes in place of the mask: x[basic][..., mask, ...] is the same
    selection. The region x[basic] has `before` axes in front of the mask's and `behind` after them.
    """

    mask: Symbol
    basic: Parts
    before: int
    behind: int

    @classmethod
    def of(cls, parts: Parts, shape: Shape) -> MaskedPart | None:
        """Return the index of a tensor of this shape, None for one of another kind."""
        masks = [at for at, part in enumerate(parts) if _is_mask(part)]
        if not masks:
            return None
        mask, at = parts[masks[0]], masks[0]
        others = (*parts[:at], *parts[at + 1 :])
        if not all(map(_is_basic, others)):
            raise Refused(ALONE)
        basic = (*parts[:at], *[slice(None)] * mask.rank, *parts[at + 1 :])
        rank = torch.empty(shape, device="meta")[basic].dim()
        if any(part is Ellipsis for part in parts[:at]):
            behind = _axes(parts[at + 1 :])
            return cls(mask, basic, rank - mask.rank - behind, behind)
        before = _axes(parts[:at])
        return cls(mask, basic, before, rank - mask.rank - before)

    def filled(self, net: Emitter, region: Symbol, value: Any) -> Symbol:
        """Return the region with the value where the mask is true."""
        ones, more = (1,) * self.before, (1,) * self.behind
        shapes = [(*ones, *own, *more) for own in (self.mask.shape, self.mask.other_shape)]
        mask = reshaped(net, self.mask, shapes[0], shapes[1], suffix="mask")
        return select(net, replace(mask, dtype=torch.bool), self._aligned(net, value), region)

    def _aligned(self, net: Emitter, value: Any) -> Operand:
        """Return the value with an axis of size 1 for each axis of the mask."""
        value = value if isinstance(value, Symbol) else as_float32(value)

        def view(shape: Shape) -> Shape:
            rank = self.before + 1 + self.behind
            at = len(shape[-rank:]) - self.behind - 1
            own = tuple(shape[-rank:])
            if at < 0:
                return own
            if own[at] != 1 or any(size != 1 for size in shape[:-rank]):
                raise Refused(SAME.format(tuple(shape)))
            return (*own[:at], *(1,) * self.mask.rank, *own[at + 1 :])

        if isinstance(value, Tensor):
            return value.reshape(view(tuple(value.shape)))
        return reshaped(net, value, view(value.shape), view(value.other_shape), suffix="value")


def _is_mask(part: Any) -> bool:
    return isinstance(part, Symbol) and part.dtype is torch.bool


def _is_basic(part: Any) -> bool:
    is_number = isinstance(part, int) and not isinstance(part, bool)
    return part is None or is_number or isinstance(part, slice | EllipsisType)


def _axes(parts: Parts) -> int:
    """Return how many axes of the result these parts make."""
    return sum(not isinstance(part, int) for part in parts)
