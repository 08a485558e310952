"""IndexMap: the numbers of chosen places along some axes; the others (the batch) stay as they are.

The rules stand in order of cost: cuts, windows that skip or pad, copies, pieces, matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from caffe2fx.layers import (
    Bias,
    Concat,
    Crop,
    Deconvolution,
    DummyData,
    Im2col,
    Silence,
    Slice,
    Tile,
)
from caffe2fx.message import Shape
from fx2caffe.emit import Emitter, Refused, Symbol
from fx2caffe.legalize.axis_matrix import AxisMatrix
from fx2caffe.legalize.gather import DENSE, Gather
from fx2caffe.legalize.rules import LayerCall, Tops
from fx2caffe.legalize.wide import Wide
from fx2caffe.reshaping import reshaped, viewed

Places = tuple[int, ...]
NOWHERE = -1
PIECES = 16  # more slices than this cost more, and read worse, than one matrix


@dataclass(frozen=True, kw_only=True)
class IndexMap(Wide):
    """top[.., i, j, ..] = bottom[.., f[i], g[j], ..] over the axes from `first` on.

    One blob for each of these axes lists its places; place -1 is nowhere and gives `outside`.
    """

    type = "IndexMap"

    first: int
    sizes: Shape  # of the mapped axes in the top
    outside: float = 0.0

    @property
    def axes(self) -> range:
        """The mapped axes."""
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
            nowhere = (blob == NOWHERE).reshape(shape)
            top = top.index_select(axis, blob.long().clamp(min=0))
            top = top.masked_fill(nowhere, self.outside)
        return (top,)


def index_map(
    net: Emitter,
    input: Symbol,
    places: Mapping[int, Sequence[int]],
    outside: float = 0.0,
    role: str = "",
) -> Symbol:
    """Map the given axes by their places, as one record where no axis between has the batch."""
    maps = {a: p for a, p in places.items() if not is_whole(input, a, p)}
    if not maps:
        return input
    first, last = min(maps), max(maps)
    if any(input.carries_batch(axis) and axis not in maps for axis in range(first, last)):
        for axis, one in maps.items():
            input = index_map(net, input, {axis: one}, outside, role)
        return input
    lists = [tuple(maps.get(a, range(input.shape[a]))) for a in range(first, last + 1)]
    layer = IndexMap(first=first, sizes=tuple(map(len, lists)), outside=outside)
    return net.add(layer, input, blobs=[torch.tensor(p) for p in lists], role=role)


def is_whole(input: Symbol, axis: int, places: Sequence[int]) -> bool:
    """Whether the places are all of an axis, in order, whatever the batch."""
    size = input.shape[axis]
    return len(places) == size == input.other[axis] and tuple(places) == tuple(range(size))


class Span(NamedTuple):
    """`length` places from `start` on, `step` apart, with `before` and `after` times nowhere."""

    before: int
    start: int
    step: int
    length: int
    after: int

    @classmethod
    def of(cls, places: Places) -> Span | None:
        """The places as a span, None if they are none."""
        inside = [index for index, place in enumerate(places) if place != NOWHERE]
        if not inside:
            return None
        core = places[inside[0] : inside[-1] + 1]
        step = core[1] - core[0] if len(core) > 1 else 1
        if step < 1 or core != tuple(range(core[0], core[0] + step * len(core), step)):
            return None
        return cls(inside[0], core[0], step, len(core), len(places) - 1 - inside[-1])

    @property
    def is_cut(self) -> bool:
        """Whether it is a range and nothing else."""
        return self.step == 1 and self.before == self.after == 0

    def is_window(self, size: int) -> bool:
        """Whether windows of one number give it: with a stride from 0, or with equal pads."""
        if self.start != 0 or self.before != self.after:
            return False
        return self.length == ((size - 1) // self.step + 1 if not self.before else size)


Maps = dict[int, Places]


def _changed(layer: IndexMap, bottom: Symbol, blobs: Sequence[Tensor]) -> Maps:
    lists = (tuple(int(place) for place in blob) for blob in blobs)
    maps = zip(layer.axes, lists, strict=True)
    return {axis: places for axis, places in maps if not is_whole(bottom, axis, places)}


def _spans(maps: Maps) -> dict[int, Span]:
    spans = {axis: span for axis, places in maps.items() if (span := Span.of(places)) is not None}
    if len(spans) != len(maps):
        raise Refused("needs places at equal steps")
    return spans


def _only(maps: Maps) -> tuple[int, Places]:
    if len(maps) != 1:
        raise Refused(f"needs one axis, got {len(maps)}")
    return next(iter(maps.items()))


def filled(net: Emitter, call: LayerCall[IndexMap]) -> Tops:
    """A constant outside: zeros outside, and then the constant added there.

    before: IndexMap{outside: 2}     after: IndexMap{outside: 0}, Bias with 2 outside and 0 inside
    """
    layer, blobs = call.layer, call.blobs
    inside = [blob != NOWHERE for blob in blobs]
    if layer.outside == 0 or all(bool(line.all()) for line in inside):
        raise Refused("needs places outside, and a number other than 0 there")
    zeros = net.add(replace(layer, outside=0.0), call.bottom, blobs=blobs, role="zeros")
    shown = torch.ones(())
    for line in inside:
        shown = shown[..., None] * line
    constant = torch.where(shown > 0, 0.0, layer.outside)
    return (net.add(Bias(axis=layer.first, num_axes=len(blobs)), zeros, blobs=[constant]),)


def cut(net: Emitter, call: LayerCall[IndexMap]) -> Tops:
    """Ranges: Slice for one axis, Crop to a constant of the wanted size for more."""
    layer, bottom = call.layer, call.bottom
    spans = _spans(_changed(layer, bottom, call.blobs))
    if not spans:
        return (bottom,)
    if not all(span.is_cut for span in spans.values()):
        raise Refused("needs ranges of places")
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
    """Crop, from the starts on, to the sizes that `shapes` gives for the bottom."""
    first = min(starts)
    top, other = (shapes([sizes], 1)[0][first:] for sizes in (bottom.shape, bottom.other))
    if top != other:
        raise Refused("needs a fixed size on all axes from the first cut on")
    size = net.add(DummyData(shape=((*(1,) * first, *top),)), role="size")
    offset = tuple(starts.get(axis, 0) for axis in range(first, bottom.rank))
    return net.add(Crop(axis=first, offset=offset), bottom, size)


def _pieces(
    net: Emitter, bottom: Symbol, axis: int, edges: Sequence[int], used: Sequence[int]
) -> dict[int, Symbol]:
    """The axis cut at all of `edges`; pieces by where they start.

    Those that do not start at one of `used` end in a Silence: a target without it must refuse.
    """
    size = bottom.shape[axis]
    points = tuple(sorted({edge for edge in edges if 0 < edge < size}))
    if not points:
        return {0: bottom}
    layer = Slice(axis=axis, slice_point=points)
    parts = net.add_many(layer, bottom, role="slice", tops=len(points) + 1)
    pieces = dict(zip([0, *points], parts, strict=True))
    unread = [part for start, part in pieces.items() if start not in used]
    if unread:
        net.add_many(Silence(), *unread, role="unread", tops=0)
    return pieces


def windows(net: Emitter, call: LayerCall[IndexMap]) -> Tops:
    """Every n-th number, or zeros around: Im2col with windows of one number."""
    layer, bottom = call.layer, call.bottom
    spans = _spans(_changed(layer, bottom, call.blobs))
    if not all(span.is_window(bottom.fixed(axis)) for axis, span in spans.items()):
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
    shape, other = (layer.top_shapes([sizes], 1)[0] for sizes in (bottom.shape, bottom.other))
    image = viewed(net, bottom, lambda sizes: _image(sizes, first), role="image")
    return (reshaped(net, net.add(im2col, image, role="window"), shape, other),)


def _image(shape: Shape, first: int) -> Shape:
    return (prod(shape[:first]), 1, shape[first], prod(shape[first + 1 :]))


def staged(net: Emitter, call: LayerCall[IndexMap]) -> Tops:
    """Any span: cut, then every n-th, then as many zeros on both sides, then cut.

    before: IndexMap 2, 4, 6, nowhere     after: cut to 2..6, every 2nd, zeros around, cut
    """
    layer, bottom = call.layer, call.bottom
    maps = _changed(layer, bottom, call.blobs)
    spans = _spans(maps)
    symbol, padded = bottom, _stages(spans)[3]
    for stage in _stages(spans)[:3]:
        left = {axis: p for axis, p in stage.items() if not is_whole(symbol, axis, p)}
        if left == maps:
            raise Refused("needs more than one stage")
        symbol = index_map(net, symbol, left, role="stage")
    if all(is_whole(symbol, axis, p) for axis, p in padded.items()):
        return (symbol,)
    # Not by Slice: its other tops would be zeros, of which no comparison proves anything.
    return (_cropped(net, symbol, layer.top_shapes, {a: p[0] for a, p in padded.items()}),)


def _stages(spans: dict[int, Span]) -> list[dict[int, Places]]:
    """The places of each axis in the four stages."""
    stages: list[dict[int, Places]] = [{}, {}, {}, {}]
    for axis, (before, start, step, length, after) in spans.items():
        reach, pad = (length - 1) * step + 1, max(before, after)
        stages[0][axis] = tuple(range(start, start + reach))
        stages[1][axis] = tuple(range(0, reach, step))
        stages[2][axis] = (NOWHERE,) * pad + tuple(range(length)) + (NOWHERE,) * pad
        stages[3][axis] = tuple(range(pad - before, pad + length + after))
    return stages


def upsampled(net: Emitter, call: LayerCall[IndexMap]) -> Tops:
    """Every pixel several times on the image axes: a Deconvolution of ones, channel by channel."""
    bottom = call.bottom
    maps = _changed(call.layer, bottom, call.blobs)
    if bottom.rank != 4 or min(maps) < 2:
        raise Refused("needs the image axes of a 4-D bottom")
    times = tuple(times_of(maps[a], bottom.fixed(a)) if a in maps else 1 for a in (2, 3))
    channels = bottom.fixed(1)
    deconvolution = Deconvolution(
        num_output=channels, group=channels, bias_term=False, kernel_size=times, stride=times
    )
    return (net.add(deconvolution, bottom, blobs=[torch.ones(channels, 1, *times)]),)


def times_of(places: Places, size: int) -> int:
    """How often each place is repeated in a row. Raises Refused if they are not."""
    times = len(places) // size
    if not times or places != tuple(p for p in range(size) for _ in range(times)):
        raise Refused("needs every place equally often")
    return times


def axis_by_axis(net: Emitter, call: LayerCall[IndexMap]) -> Tops:
    """Several axes one after the other, those that shrink most first."""
    layer, bottom = call.layer, call.bottom
    maps = _changed(layer, bottom, call.blobs)
    if len(maps) < 2:
        raise Refused("needs several axes, got one")
    symbol = bottom
    growth = {axis: len(places) / symbol.shape[axis] for axis, places in maps.items()}
    for axis in sorted(maps, key=growth.__getitem__):
        symbol = index_map(net, symbol, {axis: maps[axis]}, layer.outside, role=f"axis{axis}")
    return (symbol,)


def tiled(net: Emitter, call: LayerCall[IndexMap]) -> Tops:
    """The axis, or each place of it, several times: Tile."""
    bottom = call.bottom
    axis, places = _only(_changed(call.layer, bottom, call.blobs))
    size = bottom.fixed(axis)
    if places == tuple(range(size)) * (len(places) // size):
        return (net.add(Tile(axis=axis, tiles=len(places) // size), bottom),)
    times = times_of(places, size)
    apart = viewed(net, bottom, lambda s: (*s[: axis + 1], 1, *s[axis + 1 :]), role="apart")
    tiles = net.add(Tile(axis=axis + 1, tiles=times), apart, role="tile")
    return (viewed(net, tiles, lambda s: (*s[:axis], size * times, *s[axis + 2 :])),)


def pieces(net: Emitter, call: LayerCall[IndexMap]) -> Tops:
    """A few ranges one after the other: Slice and Concat."""
    bottom = call.bottom
    axis, places = _only(_changed(call.layer, bottom, call.blobs))
    bottom.fixed(axis)
    runs = runs_of(places)
    if NOWHERE in places or len(runs) > PIECES:
        raise Refused(f"needs at most {PIECES} pieces of the bottom, got {len(runs)}")
    edges = sorted({edge for run in runs for edge in run})
    used = [edge for low, high in runs for edge in edges if low <= edge < high]
    parts = _pieces(net, bottom, axis, edges, used)
    joined = [parts[edge] for edge in used]
    return (net.add(Concat(axis=axis), *joined),)


def runs_of(places: Places) -> list[tuple[int, int]]:
    """The ranges (low, high) of consecutive places."""
    breaks = [index for index, (a, b) in enumerate(pairwise(places), 1) if b != a + 1]
    return [(places[a], places[b - 1] + 1) for a, b in pairwise([0, *breaks, len(places)])]


def matrix(net: Emitter, call: LayerCall[IndexMap]) -> Tops:
    """Any places on one axis: a matrix of ones and zeros."""
    bottom = call.bottom
    axis, places = _only(_changed(call.layer, bottom, call.blobs))
    size = bottom.fixed(axis)
    if size * len(places) > DENSE:
        raise Refused(f"needs a matrix of at most {DENSE} numbers, got {size * len(places)}")
    ones = one_hot(places, size)
    return (net.add(AxisMatrix(axis=axis, rows=len(places)), bottom, blobs=[ones]),)


def one_hot(places: Sequence[int], size: int) -> Tensor:
    """A matrix that takes the places out of an axis; nowhere is a row of zeros."""
    return (torch.tensor(places)[:, None] == torch.arange(size)[None]).float()


def gathered(net: Emitter, call: LayerCall[IndexMap]) -> Tops:
    """Any places on one axis, however many: rows by number."""
    bottom = call.bottom
    axis, places = _only(_changed(call.layer, bottom, call.blobs))
    if NOWHERE in places:
        raise Refused("needs every number to come from somewhere")
    gather = Gather(first=axis, last=axis, sizes=(len(places),))
    return (net.add(gather, bottom, blobs=[torch.tensor(places)]),)
