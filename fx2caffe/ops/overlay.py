"""Results whose elements come from either of two tensors."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from caffe2fx.layers import Concat
from fx2caffe.ir.data_movement import take_at
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.gather import Gather
from fx2caffe.ir.reshape import viewed
from fx2caffe.ir.symbol import Symbol


def from_both(net: Emitter, base: Symbol, new: Symbol, sources: Sequence[Tensor]) -> Symbol:
    """Gather from both flat tensors, concatenated; per sample if all samples share the indices."""
    local = _of_each_sample(base, new, sources)
    if local is not None:
        parts = [viewed(net, x, lambda s: (s[0], prod(s[1:])), suffix="flat") for x in (base, new)]
        both = net.add(Concat(axis=1), *parts, suffix="stacked")
        return net.add(Gather(first=1, last=1, sizes=base.shape[1:]), both, blobs=[local])
    if base.shape != base.other_shape or new.shape != new.other_shape:
        net.fix_batch(f"{net.scope[0]} writes to indices counted over all samples")
    parts = [viewed(net, x, lambda s: (prod(s),), suffix="flat") for x in (base, new)]
    both = net.add(Concat(axis=0), *parts, suffix="stacked")
    return take_at(net, both, sources[0], sources[0])


def _of_each_sample(base: Symbol, new: Symbol, sources: Sequence[Tensor]) -> Tensor | None:
    """Return the indices within one sample of both, if all samples have the same; else None."""
    found: Tensor | None = None
    for source, one, two in zip(
        sources, (base.shape, base.other_shape), (new.shape, new.other_shape), strict=True
    ):
        if not one or not two or one[0] != two[0] or not source.dim():
            return None
        size, more, line = prod(one[1:]), prod(two[1:]), source.reshape(one[0], -1)
        sample = torch.arange(one[0])[:, None]
        inside = torch.where(
            line < prod(one), line - sample * size, line - prod(one) - sample * more + size
        )
        legal = torch.where(line < prod(one), inside < size, inside >= size) & (inside >= 0)
        if not bool((legal & (inside < size + more) & (inside == inside[:1])).all()):
            return None
        if found is not None and not torch.equal(found, inside[0]):
            return None
        found = inside[0]
    return found
