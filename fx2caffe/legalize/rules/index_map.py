"""Decompositions of IndexMap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from caffe2fx.layers import (
    Bias,
    Concat,
    Convolution,
    Crop,
    Deconvolution,
    DummyData,
    Im2col,
    Silence,
    Slice,
    Tile,
    Upsample,
)
from caffe2fx.layers.forks.position import UpsampleStride
from caffe2fx.messages.message import Shape
from fx2caffe.ir.axis_matrix import AxisMatrix
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.gather import DENSE, Gather
from fx2caffe.ir.index_map import PADDING, IndexMap, Indices, Span, index_map, is_whole
from fx2caffe.ir.reshape import reshaped, viewed
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.legalize.rule import LayerCall, Tops

PIECES = 16  # above this, slices cost more and read worse than one matrix
Maps = dict[int, Indices]


def changed(layer: IndexMap, bottom: Symbol, blobs: Sequence[Tensor]) -> Maps:
    """Return the indices of each axis on which an IndexMap changes anything.

    Raises Refused for padding of another value than 0, which the rules that ask do not write.
    """
    if layer.outside != 0 and any(bool((blob == PADDING).any()) for blob in blobs):
        raise Refused(f"needs zeros as padding, got {layer.outside}")
    lists = (tuple(int(index) for index in blob.tolist()) for blob in blobs)
    maps = zip(layer.axes, lists, strict=True)
    return {axis: indices for axis, indices in maps if not is_whole(bottom, axis, indices)}


def _spans(maps: Maps) -> dict[int, Span]:
    spans = {axis: span for axis, indices in maps.items() if (span := Span.of(indices)) is not None}
    if len(spans) != len(maps):
        raise Refused("needs indices at equal steps")
    return spans


def only(maps: Maps) -> tuple[int, Indices]:
    """Return the only axis with its indices. Raises Refused for several."""
    if len(maps) != 1:
        raise Refused(f"needs one axis, got {len(maps)}")
    return next(iter(maps.items()))


def filled(net: Emitter, call: LayerCall[IndexMap]) -> Tops:
    """Replace a constant other than 0 outside by zeros outside, to which a Bias adds it.

    before: IndexMap{outside: 2}     after: IndexMap{outside: 0}, Bias with 2 outside and 0 inside
    """
    layer, blobs = call.layer, call.blobs
    inside = [blob != PADDING for blob in blobs]
    if layer.outside == 0 or all(bool(line.all()) for line in inside):
        raise Refused("needs padding, of another value than 0")
    zeros = net.add(replace(layer, outside=0.0), call.bottom, blobs=blobs, suffix="zeros")
    is_inside = torch.ones(())
    for line in inside:
        is_inside = is_inside[..., None] * line
    constant = torch.where(is_inside > 0, 0.0, layer.outside)
    return (net.add(Bias(axis=layer.first, num_axes=len(blobs)), zeros, blobs=[constant]),)


def cut(net: Emitter, call: LayerCall[IndexMap]) -> Tops:
    """Cut ranges: Slice for one axis, Crop to a constant of the wanted size for several."""
    layer, bottom = call.layer, call.bottom
    spans = _spans(changed(layer, bottom, call.blobs))
    if not spans:
        return (bottom,)
    if not all(span.is_cut for span in spans.values()):
        raise Refused("needs ranges of indices")
    first = min(spans)
    if len(spans) == 1 and not bottom.carries_batch(first):
        low, high = spans[first].start, spans[first].start + spans[first].length
        return (_pieces(net, bottom, first, [low, high], [low])[low],)
    starts = {axis: span.start for axis, span in spans.items()}
    return (_cropped(net, bottom, layer.top_shapes, starts),)


def _cropped(
    net: Emitter,
    bottom: Symbol,
    shapes: Callable[[Sequence[Shape], int], tuple[Shape, ...]],
    starts: dict[int, int],
) -> Symbol:
    """Crop, from the start indices on, to the sizes that `shapes` gives for the bottom."""
    first = min(starts)
    top, other = (shapes([sizes], 1)[0][first:] for sizes in (bottom.shape, bottom.other_shape))
    if top != other:
        raise Refused("needs a fixed size on all axes from the first cut on")
    size = net.add(DummyData(shape=((*(1,) * first, *top),)), suffix="size")
    offset = tuple(starts.get(axis, 0) for axis in range(first, bottom.rank))
    offset = offset if any(offset) else ()
    return net.add(Crop(axis=first, offset=offset), bottom, size)


def _pieces(
    net: Emitter, bottom: Symbol, axis: int, edges: Sequence[int], used: Sequence[int]
) -> dict[int, Symbol]:
    """Slice an axis at all of `edges`; return the pieces by their start index.

    Those that do not start at one of `used` end in a Silence: a target without it must refuse.
    """
    size = bottom.shape[axis]
    points = tuple(sorted({edge for edge in edges if 0 < edge < size}))
    if not points:
        return {0: bottom}
    layer = Slice(axis=axis, slice_point=points)
    parts = net.add_many(layer, bottom, suffix="slice", tops=len(points) + 1)
    pieces = dict(zip([0, *points], parts, strict=True))
    unread = [part for start, part in pieces.items() if start not in used]
    if unread:
        net.add_many(Silence(), *unread, suffix="unread", tops=0)
    return pieces


def windows(net: Emitter, call: LayerCall[IndexMap]) -> Tops:
    """Emit strided slices, or equal zero padding on both sides, as Im2col with 1x1 windows."""
    layer, bottom = call.layer, call.bottom
    spans = _spans(changed(layer, bottom, call.blobs))
    if not all(span.is_window(bottom.static_size(axis)) for axis, span in spans.items()):
        raise Refused("needs steps from the start on, or as many zeros before as after")
    first, last = min(spans), max(spans)
    if last - first > 1 or (last > first and last != bottom.rank - 1):
        raise Refused("needs the last two axes, or one")
    unchanged = Span(0, 0, 1, 0, 0)
    pair = [spans[first], spans[last] if last > first else unchanged]
    steps, pads = tuple(span.step for span in pair), tuple(span.before for span in pair)
    im2col = Im2col(kernel_size=(1,), stride=steps, pad=pads)
    if bottom.rank == 4 and first == 2:
        return (net.add(im2col, bottom),)
    shape, other = (layer.top_shapes([sizes], 1)[0] for sizes in (bottom.shape, bottom.other_shape))
    image = viewed(net, bottom, lambda sizes: _image(sizes, first), suffix="image")
    return (reshaped(net, net.add(im2col, image, suffix="window"), shape, other),)


def _image(shape: Shape, first: int) -> Shape:
    return (prod(shape[:first]), 1, shape[first], prod(shape[first + 1 :]))


def span_by_cut_stride_pad(net: Emitter, call: LayerCall[IndexMap]) -> Tops:
    """Decompose any strided slice with padding: cut, stride, pad both sides equally, cut.

    before: IndexMap 2, 4, 6, padding     after: cut to 2..6, every 2nd, padding on both sides, cut
    """
    layer, bottom = call.layer, call.bottom
    maps = changed(layer, bottom, call.blobs)
    spans = _spans(maps)
    symbol, padded = bottom, _stages(spans)[3]
    for stage in _stages(spans)[:3]:
        left = {axis: p for axis, p in stage.items() if not is_whole(symbol, axis, p)}
        if left == maps:
            raise Refused("needs more than one stage")
        symbol = index_map(net, symbol, left, suffix="gathered")
    if all(is_whole(symbol, axis, p) for axis, p in padded.items()):
        return (symbol,)
    # Slice would have other tops that hold only zeros, by which no comparison proves anything.
    return (_cropped(net, symbol, layer.top_shapes, {a: p[0] for a, p in padded.items()}),)


def _stages(spans: dict[int, Span]) -> list[dict[int, Indices]]:
    """Return the indices of each axis in the four stages."""
    stages: list[dict[int, Indices]] = [{}, {}, {}, {}]
    for axis, (before, start, step, length, after) in spans.items():
        reach, pad = (length - 1) * step + 1, max(before, after)
        stages[0][axis] = tuple(range(start, start + reach))
        stages[1][axis] = tuple(range(0, reach, step))
        stages[2][axis] = (PADDING,) * pad + tuple(range(length)) + (PADDING,) * pad
        stages[3][axis] = tuple(range(pad - before, pad + length + after))
    return stages


def upsampled(net: Emitter, call: LayerCall[IndexMap]) -> Tops:
    """Repeat each pixel along the image axes: a Deconvolution of ones with a group per channel."""
    bottom = call.bottom
    maps = changed(call.layer, bottom, call.blobs)
    if bottom.rank != 4 or min(maps) < 2:
        raise Refused("needs the image axes of a 4-D bottom")
    times = tuple(times_of(maps[a], bottom.static_size(a)) if a in maps else 1 for a in (2, 3))
    channels = bottom.static_size(1)
    deconvolution = Deconvolution(
        num_output=channels, group=channels, bias_term=False, kernel_size=times, stride=times
    )
    return (net.add(deconvolution, bottom, blobs=[torch.ones(channels, 1, *times)]),)


def times_of(indices: Indices, size: int) -> int:
    """Return how often each index is repeated in a row. Raises Refused if not equally often."""
    times = len(indices) // size
    if not times or indices != tuple(p for p in range(size) for _ in range(times)):
        raise Refused("needs every index equally often")
    return times


def axis_by_axis(net: Emitter, call: LayerCall[IndexMap]) -> Tops:
    """Index several axes one after the other, those that shrink most first."""
    layer, bottom = call.layer, call.bottom
    maps = changed(layer, bottom, call.blobs)
    if len(maps) < 2:
        raise Refused("needs several axes, got one")
    symbol = bottom
    growth = {axis: len(indices) / symbol.shape[axis] for axis, indices in maps.items()}
    for axis in sorted(maps, key=growth.__getitem__):
        symbol = index_map(net, symbol, {axis: maps[axis]}, layer.outside, suffix=f"axis{axis}")
    return (symbol,)


def tiled(net: Emitter, call: LayerCall[IndexMap]) -> Tops:
    """Repeat an axis as a whole, or each of its indices in a row, by Tile."""
    bottom = call.bottom
    axis, indices = only(changed(call.layer, bottom, call.blobs))
    size = bottom.static_size(axis)
    if indices == tuple(range(size)) * (len(indices) // size):
        return (net.add(Tile(axis=axis, tiles=len(indices) // size), bottom),)
    times = times_of(indices, size)
    unsqueezed = viewed(
        net, bottom, lambda s: (*s[: axis + 1], 1, *s[axis + 1 :]), suffix="unsqueezed"
    )
    tiles = net.add(Tile(axis=axis + 1, tiles=times), unsqueezed, suffix="tile")
    return (viewed(net, tiles, lambda s: (*s[:axis], size * times, *s[axis + 2 :])),)


def pieces(net: Emitter, call: LayerCall[IndexMap]) -> Tops:
    """Concatenate a few ranges of the axis: Slice and Concat."""
    bottom = call.bottom
    axis, indices = only(changed(call.layer, bottom, call.blobs))
    bottom.static_size(axis)
    runs = runs_of(indices)
    if PADDING in indices or len(runs) > PIECES:
        raise Refused(f"needs at most {PIECES} pieces of the bottom, got {len(runs)}")
    edges = sorted({edge for run in runs for edge in run})
    used = [edge for low, high in runs for edge in edges if low <= edge < high]
    parts = _pieces(net, bottom, axis, edges, used)
    joined = [parts[edge] for edge in used]
    return (net.add(Concat(axis=axis), *joined),)


def runs_of(indices: Indices) -> list[tuple[int, int]]:
    """Return the ranges (low, high) of consecutive indices."""
    breaks = [index for index, (a, b) in enumerate(pairwise(indices), 1) if b != a + 1]
    return [(indices[a], indices[b - 1] + 1) for a, b in pairwise([0, *breaks, len(indices)])]


def matrix(net: Emitter, call: LayerCall[IndexMap]) -> Tops:
    """Index one axis by a one-hot matrix, in any order."""
    bottom = call.bottom
    axis, indices = only(changed(call.layer, bottom, call.blobs))
    size = bottom.static_size(axis)
    if size * len(indices) > DENSE:
        raise Refused(f"needs a matrix of at most {DENSE} elements, got {size * len(indices)}")
    ones = one_hot(indices, size)
    return (net.add(AxisMatrix(axis=axis, rows=len(indices)), bottom, blobs=[ones]),)


def one_hot(indices: Sequence[int], size: int) -> Tensor:
    """Build the one-hot matrix of the indices; a padding index gives a row of zeros."""
    return (torch.tensor(indices)[:, None] == torch.arange(size)[None]).float()


def gathered(net: Emitter, call: LayerCall[IndexMap]) -> Tops:
    """Index one axis with a Gather, by any number of indices."""
    bottom = call.bottom
    axis, indices = only(changed(call.layer, bottom, call.blobs))
    if PADDING in indices:
        raise Refused("needs every number to come from somewhere")
    gather = Gather(first=axis, last=axis, sizes=(len(indices),))
    return (net.add(gather, bottom, blobs=[torch.tensor(indices)]),)


TAPS = 64  # elements in a one-hot filter; above this a matrix is cheaper


class _Filter(NamedTuple):
    """Holds a one-hot filter along one axis: size, index of its 1, stride and pad."""

    kernel: int
    one: int
    stride: int
    pad: int

    @classmethod
    def of(cls, span: Span, size: int) -> _Filter:
        """Return the filter that reads a span of an axis of that size, with zeros outside.

        Raises Refused where the span's padding does not lie outside the input.
        """
        count = span.before + span.length + span.after
        offset = span.start - span.before * span.step
        indices = [offset + index * span.step for index in range(count)]
        inside = [0 <= tap < size for tap in indices]
        if inside != [span.before <= i < span.before + span.length for i in range(count)]:
            raise Refused("needs zeros where the steps leave the input")
        pad = max(0, -offset)
        while not cls._fits(size, pad, offset + pad, span.step, count):
            pad += 1
        least = max(offset + pad + 1, size + 2 * pad - count * span.step + 1)
        return cls(least, offset + pad, span.step, pad)

    @staticmethod
    def _fits(size: int, pad: int, one: int, stride: int, count: int) -> bool:
        least = max(one + 1, size + 2 * pad - count * stride + 1)
        return one >= 0 and least <= size + 2 * pad - (count - 1) * stride


def by_one_filter(net: Emitter, call: LayerCall[IndexMap]) -> Tops:
    """Emit spans of the image axes, zeros outside, as a one-hot filter with a group per channel.

    before: x[:, :, 1:, ::2]      after: Convolution{kernel 2x1 stride 1x2 group: channels}
    """
    layer, bottom = call.layer, call.bottom
    if bottom.rank != 4 or layer.first < 2 or layer.outside != 0:
        raise Refused("needs the image axes of a 4-D bottom, and zeros outside")
    filters = {axis: _Filter(1, 0, 1, 0) for axis in (2, 3)}
    for axis, blob in zip(layer.axes, call.blobs, strict=True):
        span = Span.of(tuple(int(index) for index in blob))
        if span is None:
            raise Refused("needs indices at equal steps")
        filters[axis] = _Filter.of(span, bottom.static_size(axis))
    high, wide = filters[2], filters[3]
    if high.kernel * wide.kernel > TAPS:
        raise Refused(f"needs a filter of at most {TAPS} elements, got {high.kernel * wide.kernel}")
    channels = bottom.static_size(1)
    convolution = Convolution(
        num_output=channels, group=channels, bias_term=False,
        kernel_h=high.kernel, kernel_w=wide.kernel, stride_h=high.stride, stride_w=wide.stride,
        pad_h=high.pad, pad_w=wide.pad,
    )  # fmt: skip
    weight = torch.zeros(channels, 1, high.kernel, wide.kernel)
    weight[:, :, high.one, wide.one] = 1
    return (net.add(convolution, bottom, blobs=[weight]),)


def upsample(net: Emitter, call: LayerCall[IndexMap]) -> Tops:
    """Repeat each pixel s x s times by Upsample."""
    bottom = call.bottom
    return (net.add(Upsample(scale=_scale(call.layer, bottom, call.blobs)), bottom),)


def upsample_by_stride(net: Emitter, call: LayerCall[IndexMap]) -> Tops:
    """Repeat each pixel s x s times by UpsampleStride, as Ascend's ATC writes it."""
    bottom = call.bottom
    scale = _scale(call.layer, bottom, call.blobs)
    return (net.add(UpsampleStride(stride_h=scale, stride_w=scale), bottom),)


def _scale(layer: IndexMap, bottom: Symbol, blobs: Sequence[Tensor]) -> int:
    """Return how often each pixel is repeated along both axes. Raises Refused if that differs."""
    if bottom.rank != 4 or tuple(layer.axes) != (2, 3):
        raise Refused("needs both image axes of a 4-D bottom")
    lists = [tuple(int(index) for index in blob) for blob in blobs]
    high, wide = (times_of(p, bottom.static_size(a)) for a, p in zip((2, 3), lists, strict=True))
    if high != wide:
        raise Refused(f"needs one scale both ways, got {high} and {wide}")
    return high
