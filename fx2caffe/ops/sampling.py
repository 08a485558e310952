"""Interpolation at coordinates that the net computes (grid_sample)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product as every
from math import prod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe2fx.layers import AbsVal, BatchReindex, Eltwise, Scale
from caffe2fx.messages.message import Shape
from fx2caffe.ir.axis_matrix import AxisMatrix
from fx2caffe.ir.binary import PRODUCT
from fx2caffe.ir.constants import as_symbol
from fx2caffe.ir.data_movement import rearrange
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.gather import DENSE, ROWS
from fx2caffe.ir.index_map import PADDING, index_map
from fx2caffe.ir.reshape import viewed
from fx2caffe.ir.symbol import Operand, Refused, Symbol
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.blocks import (
    above,
    affine,
    clipped,
    combined,
    opposite,
    polynomial,
    rounded,
    weighted_sum,
)


class Tap(NamedTuple):
    """Holds one interpolation tap along an axis: its index and its weight."""

    position: Symbol
    weight: Symbol | None  # None for a weight of 1


class Table(NamedTuple):
    """Holds an image as rows of channels, with its spatial sizes and number of samples."""

    rows: Symbol
    sizes: Shape
    samples: int


@handles(F.grid_sample)
def grid_sample(
    net: Emitter,
    input: Operand,
    grid: Operand,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
    *,
    out: Expected,
) -> Symbol:
    """Interpolate each output element from neighbours of its coordinate, gathered by row index."""
    options = (mode, padding_mode, bool(align_corners))
    if isinstance(grid, Tensor) and isinstance(input, Symbol):
        matrix = _same_for_all(input, grid, options)
        if matrix is not None:
            flat = viewed(net, input, lambda s: (*s[:2], prod(s[2:])), suffix="flat")
            mixed = net.add(AxisMatrix(axis=2, rows=len(matrix)), flat, blobs=[matrix])
            return viewed(net, mixed, lambda s: (*s[:2], *out.shape[2:]))
    image, where = as_symbol(net, input, suffix="input"), as_symbol(net, grid, suffix="grid")
    return _sampled_where(net, image, where, options)


def _same_for_all(input: Symbol, grid: Tensor, options: tuple[str, str, bool]) -> Tensor | None:
    """Return a constant grid as a matrix; None if samples differ or the matrix is too large."""
    size, count = prod(input.shape[2:]), prod(grid.shape[1:-1])
    if size * count > DENSE or not torch.equal(grid, grid[:1].expand_as(grid)):
        return None
    unit = torch.eye(size, dtype=torch.float64).reshape(1, size, *input.shape[2:])
    return F.grid_sample(unit, grid[:1].double(), *options).reshape(size, count).t().contiguous()


def _sampled_where(
    net: Emitter, input: Symbol, grid: Symbol, options: tuple[str, str, bool]
) -> Symbol:
    mode, padding, align = options
    shape = grid.shape[1:-1]
    image = table_of(net, input, padded=padding == "zeros")
    points = viewed(net, grid, lambda s: (prod(s[:-1]), s[-1]), suffix="indices")
    axes = []
    for axis, size in enumerate(input.shape[2:]):
        last = grid.shape[-1] - 1 - axis  # the grid's coordinates start with the last axis
        line = rearrange(net, points, lambda x, last=last: x[:, last])  # type: ignore[misc]
        steps = _in_pixels(net, line, size, align)
        axes.append(_TAPS[mode](net, steps, Edge(padding, size, align)))
    each = prod(shape)
    starts = torch.arange(image.samples).repeat_interleave(each) * prod(image.sizes)
    rows = looked_up(net, image, axes, starts)
    back = viewed(
        net, rows, lambda s: (image.samples, s[0] // image.samples, s[1]), suffix="by_sample"
    )
    top = rearrange(net, back, lambda x: x.movedim(2, 1))
    return viewed(net, top, lambda s: (*s[:2], *shape))


def table_of(net: Emitter, input: Symbol, *, padded: bool) -> Table:
    """Return the image as rows of its channels, with a border of zeros if `padded`."""
    if input.shape != input.other_shape:
        net.fix_batch(f"{net.scope[0]} counts its indices over all samples")
    if padded:
        padding = {
            axis: [PADDING, *range(input.shape[axis]), PADDING] for axis in range(2, input.rank)
        }
        input = index_map(net, input, padding, suffix="padded")
    samples, channels, *sizes = input.shape
    if samples * prod(sizes) > ROWS:
        raise Refused(f"needs at most {ROWS} positions in all samples, got {samples * prod(sizes)}")
    last = rearrange(net, input, lambda x: x.movedim(1, -1))
    rows = viewed(net, last, lambda s: (prod(s[:-1]), channels), suffix="rows")
    return Table(rows, tuple(sizes), samples)


def looked_up(net: Emitter, image: Table, axes: Sequence[Sequence[Tap]], starts: Operand) -> Symbol:
    """Sum over all neighbours: each one's row of channels, times the product of its weights.

    `starts` are the row indices at which each output's sample begins.
    """
    steps = [prod(image.sizes[axis + 1 :]) for axis in range(len(image.sizes))]
    terms = []
    for taps in every(*axes):
        index_terms = [(step, tap.position) for step, tap in zip(steps, taps, strict=True)]
        index = combined(net, index_terms, "index") if len(taps) > 1 else taps[0].position
        index = _in_sample(net, index, image, starts)
        row = net.add(BatchReindex(), image.rows, index, suffix="row")
        weights = [tap.weight for tap in taps if tap.weight is not None]
        terms.append(_weighted(net, row, weights))
    if len(terms) == 1:
        return terms[0]
    return net.add(Eltwise(), *terms, suffix="sum")


def _in_sample(net: Emitter, index: Symbol, image: Table, starts: Operand) -> Symbol:
    """Add each sample's first row to row indices within the sample."""
    if image.samples == 1:
        return index
    return weighted_sum(net, index, starts, suffix="row_index")


def _weighted(net: Emitter, row: Symbol, weights: Sequence[Symbol]) -> Symbol:
    if not weights:
        return row
    weight = weights[0]
    if len(weights) > 1:
        weight = net.add(PRODUCT, *weights, suffix="weight")
    return net.add(Scale(axis=0), row, weight, suffix="weighted")


def _in_pixels(net: Emitter, line: Symbol, size: int, align: bool) -> Symbol:
    """Map -1..1 to pixels, in torch's order of operations, so that the rounding is the same."""
    shifted = affine(net, line, 1, 1, suffix="shifted")
    if align:
        return affine(net, shifted, (size - 1) / 2, suffix="pixels")
    return affine(net, shifted, size / 2, -0.5, suffix="pixels")


class Edge(NamedTuple):
    """Holds torch's padding mode at the ends of an axis; for zeros the table has a border."""

    padding: str
    size: int
    align: bool

    def into(self, net: Emitter, steps: Symbol) -> Symbol:
        """Move coordinates to where pixels can be read, before rounding."""
        if self.padding == "zeros":
            return clipped(net, steps, -1, self.size, "bound")
        if self.padding == "reflection":
            steps = self.reflected(net, steps)
        return clipped(net, steps, 0, self.size - 1, "bound")

    def position(self, net: Emitter, whole: Symbol, shift: int) -> Symbol:
        """Return an integer coordinate plus a shift as an index into the table."""
        before = self.padding == "zeros"
        index = whole if shift + before == 0 else affine(net, whole, 1, shift + before, "index")
        if shift == 0:
            return index
        return clipped(net, index, 0, self.size - 1 + 2 * before, "clipped")

    def reflected(self, net: Emitter, steps: Symbol) -> Symbol:
        """Compute span - |x mod (2 span) - span|, counted from the edge of reflection."""
        span = self.size - 1 if self.align else self.size
        if span == 0:
            return affine(net, steps, 0, suffix="zeros")
        edge = 0.0 if self.align else 0.5
        periods = affine(net, steps, 0.5 / span, 0.5 * edge / span, "periods")
        full = whole_below(net, periods, "full")
        rest = combined(net, [(1, steps), (-2 * span, full)], "remainder")
        distance = net.add(
            AbsVal(), affine(net, rest, 1, edge - span, "centred"), suffix="distance"
        )
        return affine(net, distance, -1, span - edge, "reflected")


def _nearest(net: Emitter, steps: Symbol, edge: Edge) -> list[Tap]:
    whole = rounded(net, edge.into(net, steps), suffix="nearest")
    return [Tap(edge.position(net, whole, 0), None)]


def linear(net: Emitter, steps: Symbol, edge: Edge) -> list[Tap]:
    """Return the taps before and after each coordinate, weighted by nearness."""
    return linear_taps(net, edge.into(net, steps), lambda low, k: edge.position(net, low, k))


def linear_taps(net: Emitter, steps: Symbol, index: Callable[[Symbol, int], Symbol]) -> list[Tap]:
    """Return the taps on both sides; `index` maps the lower index and 0 or 1 to an index."""
    low = whole_below(net, steps, "low")
    part = combined(net, [(1, steps), (-1, low)], "part")
    return [Tap(index(low, 0), opposite(net, part, "remainder")), Tap(index(low, 1), part)]


def whole_below(net: Emitter, input: Symbol, suffix: str) -> Symbol:
    """Compute the floor of a coordinate below 2^22, which a single rounding makes an integer."""
    near = rounded(net, input, suffix="near")
    rise = combined(net, [(1, near), (-1, input)], "difference")
    return combined(net, [(1, near), (-1, above(net, rise, 0, "is_above"))], suffix)


def _cubic(net: Emitter, steps: Symbol, edge: Edge) -> list[Tap]:
    """Return four taps of torch's cubic convolution with A = -0.75; each is bounded by itself."""
    near = steps
    if edge.padding != "reflection":
        near = clipped(net, steps, -3, edge.size + 2, "near")
    low = whole_below(net, near, "low")
    part = combined(net, [(1, near), (-1, low)], "part")
    taps = []
    for shift in (-1, 0, 1, 2):
        away = (
            part
            if shift == 0
            else affine(net, part, 1 if shift < 0 else -1, abs(shift), "tap_distance")
        )
        weight = polynomial(net, away, _CUBIC[shift in (0, 1)], "cubic")
        taps.append(Tap(_bounded(net, low, shift, edge), weight))
    return taps


# A = -0.75: for taps up to 1 away, and for those up to 2 away.
_CUBIC = {True: (1.0, 0.0, -2.25, 1.25), False: (3.0, -6.0, 3.75, -0.75)}


def _bounded(net: Emitter, low: Symbol, shift: int, edge: Edge) -> Symbol:
    before = edge.padding == "zeros"
    index = affine(net, low, 1, shift + before, "index")
    if edge.padding == "reflection":
        index = edge.reflected(net, index)
    return clipped(net, index, 0, edge.size - 1 + 2 * before, "clipped")


_TAPS = {"nearest": _nearest, "bilinear": linear, "bicubic": _cubic}


@handles(F.affine_grid)
def affine_grid(
    net: Emitter,
    theta: Symbol,
    size: Sequence[int],
    align_corners: bool | None = None,
) -> Symbol:
    """Multiply theta's rows by the coordinates, a constant matrix that all samples share."""
    axes = len(size) - 2
    unit = torch.eye(axes + 1, dtype=torch.float64)[:, None].expand(-1, axes, -1).contiguous()
    coordinates = F.affine_grid(unit, [axes + 1, 1, *size[2:]], bool(align_corners))[..., 0]
    matrix = coordinates.reshape(axes + 1, -1).t().contiguous()
    lines = net.add(AxisMatrix(axis=2, rows=len(matrix)), theta, blobs=[matrix], suffix="lines")
    last = rearrange(net, lines, lambda x: x.movedim(1, 2))
    return viewed(net, last, lambda s: (s[0], *size[2:], s[2]))
