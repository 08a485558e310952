"""Writes into a part of a tensor: slice assignment and writes through views."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod
from typing import Any, TypeVar

import torch
from torch import Tensor

from caffe2fx.layers import Concat, Eltwise, Scale
from caffe2fx.messages.message import Shape
from fx2caffe.ir import graph_functions
from fx2caffe.ir.constants import as_float32, as_symbol
from fx2caffe.ir.data_movement import box_of, line_at_origin, positions, take_at
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.index_map import PADDING, index_map
from fx2caffe.ir.symbol import Operand, Symbol
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.blocks import inside
from fx2caffe.ops.computed_index import region_of, written_region
from fx2caffe.ops.index_map import getitem
from fx2caffe.ops.index_table import written_rows
from fx2caffe.ops.indexing import IndexParts, wrapped
from fx2caffe.ops.masked_part import MaskedPart
from fx2caffe.ops.overlay import from_both

T = TypeVar("T")


@handles(graph_functions.setitem)
def setitem(net: Emitter, x: Any, index: Any, value: Any) -> Symbol:
    parts = index if isinstance(index, tuple | list) else (index,)
    base = as_symbol(net, x, suffix="base")
    masked = MaskedPart.of(tuple(parts), base.shape)
    if masked is not None:
        return _where_masked(net, base, masked, value)
    if any(isinstance(part, Symbol) for part in parts):
        return _at_computed(net, base, tuple(parts), value)
    written = value if isinstance(value, Symbol) else as_float32(value)
    try:
        indices = _written(base, index, written)
    except RuntimeError:  # one of them is a constant of the example's batch size
        net.fix_batch(f"{net.scope[0]} writes a value that is made for one batch")
        base, written = _unbatched(base), _unbatched(written)
        indices = _written(base, index, written)
    if any(base.carries_batch(a) and not _is_whole(p) for a, p in _by_axis(index, base.rank)):
        net.fix_batch(f"{net.scope[0]} writes into some samples only")
    return _overlaid(net, base, written, *indices)


def _where_masked(net: Emitter, base: Symbol, index: MaskedPart, value: Any) -> Symbol:
    """Write where a mask is true in a region: compute the whole region, write it back."""
    if all(part is Ellipsis or _is_whole(part) for part in index.basic):
        return index.filled(net, base, value)
    region = inside(net, "region", getitem, base, index.basic)
    return setitem(net, base, index.basic, inside(net, "region", index.filled, region, value))


def _at_computed(net: Emitter, base: Symbol, parts: tuple[Any, ...], value: Any) -> Symbol:
    """Write at computed indices: compute the whole region that they may reach, write it back."""
    one_line = region_of(parts)
    if one_line is None:
        return _at_tensors(net, base, IndexParts.of(parts, base.rank), value)
    region, axis = one_line
    own, positions = next((n, p) for n, p in enumerate(parts) if isinstance(p, Symbol))
    indices = inside(net, "region", wrapped, positions, base.static_size(own))
    assert isinstance(indices, Symbol)  # as the positions are
    new = inside(net, "region", written_region, base, region, axis, indices, value)
    if all(_is_whole(part) for part in region) and new.shape == base.shape:
        return new
    return setitem(net, base, region, new)


def _at_tensors(net: Emitter, base: Symbol, index: IndexParts, value: Any) -> Symbol:
    """Write at the indices of several axes, of which the net computes some."""
    new = inside(net, "region", written_rows, base, index, value, _put)
    if all(_is_whole(part) for part in index.basic) and new.shape == base.shape:
        return new
    return setitem(net, base, index.basic, new)


def _put(net: Emitter, table: Symbol, indices: Symbol, rows: Symbol) -> Symbol:
    whole = (slice(None),) * table.rank
    return written_region(net, table, whole, 0, indices, rows)


def _by_axis(index: Any, rank: int) -> Iterator[tuple[int, Any]]:
    """Yield each part of an index with the first axis that it indexes."""
    parts = index if isinstance(index, tuple) else (index,)
    axis, named = 0, sum(_width(part) for part in parts)
    for part in parts:
        if part is not None and part is not Ellipsis:
            yield axis, part
        axis += rank - named if part is Ellipsis else _width(part)


def _width(part: Any) -> int:
    """Return how many axes a part of an index consumes."""
    if part is None or part is Ellipsis:
        return 0
    return part.dim() if isinstance(part, Tensor) and part.dtype is torch.bool else 1


def _is_whole(part: Any) -> bool:
    """Return whether a part is the whole axis at any size; x[:-2] of two samples is empty."""
    if not isinstance(part, slice):
        return False
    return part.stop is None and not part.start and part.step in (None, 1)


def _written(base: Symbol, index: Any, value: Operand) -> list[Tensor]:
    """Return the flat source index of each element of the result, at both batch sizes."""
    return [
        graph_functions.setitem(positions(shape), index, positions(own, prod(shape)))
        for shape, own in zip((base.shape, base.other_shape), _shapes(value), strict=True)
    ]


def _shapes(value: Operand) -> tuple[Shape, Shape]:
    if isinstance(value, Symbol):
        return value.shape, value.other_shape
    return tuple(value.shape), tuple(value.shape)


@handles(graph_functions.index_map)
def map_of_memory(
    net: Emitter, tensors: Sequence[Operand], index: Tensor, shape: Sequence[int]
) -> Symbol:
    symbols = [as_symbol(net, t, suffix=f"part{i}") for i, t in enumerate(tensors)]
    if any(symbol.shape != symbol.other_shape for symbol in symbols):
        net.fix_batch(f"{net.scope[0]} reads positions in memory, which are those of one batch")
    flat = index.reshape(tuple(shape))
    if len(symbols) == 1:
        return take_at(net, symbols[0], flat, flat)
    return _overlaid(net, symbols[0], symbols[1], flat, flat)


@handles(graph_functions.sample_map)
def map_of_each_sample(
    net: Emitter, tensors: Sequence[Operand], index: Tensor, shape: Sequence[int], like: Symbol
) -> Symbol:
    symbols = [as_symbol(net, t, suffix=f"part{i}") for i, t in enumerate(tensors)]
    samples = like.shape[0], like.other_shape[0]
    counts = [prod(symbol.shape) // samples[0] for symbol in symbols]
    if counts != [prod(symbol.other_shape) // samples[1] for symbol in symbols]:
        net.fix_batch(f"{net.scope[0]} reads a tensor that is the same for any batch")
    index, other = (
        graph_functions.of_all_samples(index, counts, n).reshape(n * shape[0], *shape[1:])
        for n in samples
    )
    if len(symbols) == 1:
        return take_at(net, symbols[0], index, other)
    return _overlaid(net, symbols[0], symbols[1], index, other)


def _unbatched(value: T) -> T:
    return replace(value, other_shape=value.shape) if isinstance(value, Symbol) else value


def _overlaid(net: Emitter, base: Symbol, value: Operand, index: Tensor, other: Tensor) -> Symbol:
    """Return `base` where the index is below its size, else the elements of `value`."""
    sizes = prod(base.shape), prod(base.other_shape)
    masks = index >= sizes[0], other >= sizes[1]
    if not bool(masks[0].any()):
        return base
    if isinstance(value, Tensor):
        return _patched(net, base, masks, value.flatten()[(index - sizes[0]).clamp(min=0)])
    box, other_box = box_of(masks[0]), box_of(masks[1])
    if box is None or other_box is None:  # no grid of rows and columns
        return from_both(net, base, value, (index, other))
    sides = zip(other_box, other.shape, strict=True)
    whole = [list(indices) == list(range(size)) for indices, size in sides]
    for axis, (one, two) in enumerate(zip(box, other_box, strict=True)):
        if not whole[axis] and (base.carries_batch(axis) or list(one) != list(two)):
            net.fix_batch(f"{net.scope[0]} writes into some samples only")
    region = [
        (i[mask] - size).reshape([len(indices) for indices in found])
        for i, mask, size, found in zip((index, other), masks, sizes, (box, other_box), strict=True)
    ]
    written = take_at(net, value, region[0], region[1])
    cut = [axis for axis, is_whole in enumerate(whole) if not is_whole]
    if not cut:
        return written
    if len(cut) == 1 and _is_range(box[cut[0]]):
        return _spliced(net, base, written, cut[0], box[cut[0]])
    kept = _patched(net, base, masks, torch.zeros(index.shape))
    spread = {axis: _scatter(box[axis], base.shape[axis]) for axis in cut}
    return net.add(Eltwise(), kept, index_map(net, written, spread, suffix="scattered"))


def _is_range(indices: Sequence[int]) -> bool:
    return list(indices) == list(range(indices[0], indices[0] + len(indices)))


def _scatter(indices: Sequence[int], size: int) -> list[int]:
    """Return indices that move element i to index indices[i], with padding elsewhere."""
    found = {index: rank for rank, index in enumerate(indices)}
    return [found.get(index, PADDING) for index in range(size)]


def _spliced(
    net: Emitter, base: Symbol, value: Symbol, axis: int, indices: Sequence[int]
) -> Symbol:
    """Replace a range of one axis: concatenate the part before, the value, and the part after."""
    before, after = range(indices[0]), range(indices[-1] + 1, base.shape[axis])
    kept = [
        index_map(net, base, {axis: part}, suffix="slice") if len(part) else None
        for part in (before, after)
    ]
    parts = [part for part in (kept[0], value, kept[1]) if part is not None]
    return net.add(Concat(axis=axis), *parts)


def _patched(net: Emitter, base: Symbol, masks: tuple[Tensor, Tensor], values: Tensor) -> Symbol:
    """Return `base` with constant elements where the mask is true."""
    mask = masks[0]
    values = torch.where(mask, values, torch.zeros(()))
    moving = [
        axis
        for axis, size in enumerate(mask.shape)
        if _varies(masks[1], axis)  # a batch of one does not show whether it varies
        or (size > 1 and (_varies(mask, axis) or _varies(values, axis)))
    ]
    first, last = (moving[0], moving[-1]) if moving else (mask.dim() - 1, mask.dim() - 1)
    if any(base.carries_batch(axis) for axis in range(first, last + 1)):
        net.fix_batch(f"{net.scope[0]} writes into some samples only")
    run = range(first, last + 1)
    blobs = [line_at_origin(~mask, *run).float(), line_at_origin(values, *run).float()]
    layer = Scale(axis=first, num_axes=last + 1 - first, bias_term=bool(blobs[1].any()))
    return net.add(layer, base, blobs=blobs if layer.bias_term else blobs[:1], suffix="assigned")


def _varies(value: Tensor, axis: int) -> bool:
    return not torch.equal(value, value.narrow(axis, 0, 1).expand_as(value))
