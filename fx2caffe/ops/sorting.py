"""Which numbers are the largest, and where: argmax, topk, sort and what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor
from typing import Any

import torch
from torch import Tensor

from caffe2fx.layers import ArgMax, Power
from fx2caffe.ir.axis_matrix import AxisMatrix
from fx2caffe.ir.constants import EXACT_INTEGER
from fx2caffe.ir.data_movement import rearrange
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.index_map import index_map
from fx2caffe.ir.reshape import reshaped, viewed
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.arguments import positive
from fx2caffe.ops.blocks import negated

Pair = tuple[Symbol, Symbol]


@handles(torch.argmax)
def argmax(
    net: Emitter, input: Symbol, dim: int | None = None, keepdim: bool = False, *, out: Expected
) -> Symbol:
    """Ties give the lowest index."""
    line, axis = _line(net, input, dim)
    return reshaped(net, first_largest(net, line, axis), out.shape, out.other_shape)


@handles(torch.argmin)
def argmin(
    net: Emitter, input: Symbol, dim: int | None = None, keepdim: bool = False, *, out: Expected
) -> Symbol:
    """Ties give the lowest index."""
    line, axis = _line(net, negated(net, input, "negative"), dim)
    return reshaped(net, first_largest(net, line, axis), out.shape, out.other_shape)


def _line(net: Emitter, input: Symbol, dim: int | None) -> tuple[Symbol, int]:
    """The input, or all of its numbers in a row, and the axis to search."""
    if dim is None or input.rank == 0:
        return viewed(net, input, lambda shape: (_count(shape),), suffix="flat"), 0
    return input, positive(dim, input.rank)


def _count(shape: Sequence[int]) -> int:
    return int(torch.Size(shape).numel())


def first_largest(net: Emitter, input: Symbol, axis: int) -> Symbol:
    """Where the largest number of an axis is, which becomes 1: of equal ones the first."""
    return ranks(net, input, axis, 1, first=True)


def ranks(net: Emitter, input: Symbol, axis: int, count: int, first: bool) -> Symbol:
    """Where the `count` largest numbers are, in descending order.

    Caffe takes the last of equal numbers; to get the `first` one, it searches from the end.
    """
    size = input.shape[axis]
    if size > EXACT_INTEGER:
        raise Refused(f"needs at most 2^24 numbers to search, got {size}")
    if not first or input.static_size(axis) == 1:
        return net.add(ArgMax(axis=axis, top_k=count), input, suffix="indices")
    turned = rearrange(net, input, lambda x: x.flip(axis))
    found = net.add(ArgMax(axis=axis, top_k=count), turned, suffix="from_end")
    return net.add(Power(scale=-1, shift=size - 1), found, suffix="indices")


def largest(net: Emitter, input: Symbol, axis: int, count: int) -> Symbol:
    """The `count` largest numbers of an axis, in descending order."""
    return net.add(ArgMax(axis=axis, top_k=count, out_max_val=True), input, suffix="values")


def ordered(
    net: Emitter, input: Symbol, dim: int, count: int, *, descending: bool, first: bool
) -> Pair:
    """The first `count` numbers of the order along an axis, and where they were."""
    line = viewed(net, input, lambda s: s or (1,), suffix="flat")
    axis = positive(dim, line.rank)
    source = line if descending else negated(net, line, "negative")
    values = largest(net, source, axis, count)
    values = values if descending else net.add(Power(scale=-1), values, suffix="smallest")
    return values, ranks(net, source, axis, count, first)


def _as_expected(net: Emitter, pair: Pair, out: Expected) -> Pair:
    """Both results in the shape that torch gives them."""
    metas = zip(out.meta, out.other_meta, strict=True)
    shaped = [
        reshaped(net, symbol, tuple(one.shape), tuple(two.shape))
        for symbol, (one, two) in zip(pair, metas, strict=True)
    ]
    return shaped[0], shaped[1]


def extreme_of_axis(
    net: Emitter, input: Symbol, dim: int, out: Expected, *, descending: bool
) -> Pair:
    """torch.max and torch.min over one axis: values, and the first place of each."""
    pair = ordered(net, input, dim, 1, descending=descending, first=True)
    return _as_expected(net, pair, out)


@handles(torch.topk)
def topk(
    net: Emitter,
    input: Symbol,
    k: int,
    dim: int = -1,
    largest: bool = True,
    sorted: bool = True,
    *,
    out: Expected,
) -> Pair:
    """torch promises no order of equal numbers; here the last one comes first."""
    if not sorted and k > 1:
        raise Refused("needs sorted=True, whose order torch promises, got False")
    pair = ordered(net, input, dim, k, descending=largest, first=False)
    return _as_expected(net, pair, out)


@handles(torch.sort)
def sort(
    net: Emitter,
    input: Symbol,
    dim: int = -1,
    descending: bool = False,
    stable: bool | None = False,
    *,
    out: Expected,
) -> Pair:
    """Always stable, as torch's own sort on the CPU is."""
    count = input.shape[positive(dim, input.rank)] if input.rank else 1
    pair = ordered(net, input, dim, count, descending=descending, first=True)
    return _as_expected(net, pair, out)


@handles(torch.argsort)
def argsort(
    net: Emitter,
    input: Symbol,
    dim: int = -1,
    descending: bool = False,
    stable: bool | None = False,
    *,
    out: Expected,
) -> Symbol:
    count = input.shape[positive(dim, input.rank)] if input.rank else 1
    _, places = ordered(net, input, dim, count, descending=descending, first=True)
    return reshaped(net, places, out.shape, out.other_shape)


@handles(torch.msort)
def msort(net: Emitter, input: Symbol) -> Symbol:
    return ascending(net, input, 0)


def ascending(net: Emitter, input: Symbol, axis: int) -> Symbol:
    """The numbers of an axis, the smallest first."""
    return ordered(net, input, axis, input.static_size(axis), descending=False, first=False)[0]


@handles(torch.kthvalue)
def kthvalue(
    net: Emitter, input: Symbol, k: int, dim: int = -1, keepdim: bool = False, *, out: Expected
) -> Pair:
    return _as_expected(net, _kth_smallest(net, input, k, dim), out)


def _kth_smallest(net: Emitter, input: Symbol, k: int, dim: int) -> Pair:
    """The last of the k smallest, or of the n - k + 1 largest if those are fewer."""
    size = input.static_size(positive(dim, input.rank)) if input.rank else 1
    descending = size - k + 1 < k
    count = size - k + 1 if descending else k
    pair = ordered(net, input, dim, count, descending=descending, first=False)
    axis = positive(dim, pair[0].rank)
    last = [index_map(net, found, {axis: [count - 1]}, suffix="last") for found in pair]
    return last[0], last[1]


@handles(torch.median)
def median(
    net: Emitter,
    input: Symbol,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    out: Expected,
) -> Symbol | Pair:
    """The lower one of the two in the middle."""
    if dim is not None:
        size = input.static_size(positive(dim, input.rank)) if input.rank else 1
        return _as_expected(net, _kth_smallest(net, input, (size + 1) // 2, dim), out)
    line, _ = _line(net, input, None)
    middle = _kth_smallest(net, line, (line.static_size(0) + 1) // 2, 0)[0]
    return reshaped(net, middle, out.shape, out.other_shape)


@handles(torch.quantile)
def quantile(
    net: Emitter,
    input: Symbol,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    out: Expected,
) -> Symbol:
    """The numbers in order, times a matrix that weighs the two next to each quantile."""
    if isinstance(q, Symbol):
        raise Refused("needs a constant q, got one that depends on the input")
    line, axis = _line(net, input, dim)
    parts = torch.as_tensor(q, dtype=torch.float64)
    rows = [
        _weights(float(part), line.static_size(axis), interpolation) for part in parts.flatten()
    ]
    mixed = net.add(
        AxisMatrix(axis=axis, rows=len(rows)),
        ascending(net, line, axis),
        blobs=[torch.stack(rows)],
        suffix="mixed",
    )
    if parts.dim():
        mixed = rearrange(net, mixed, lambda x: x.movedim(axis, 0))
    return reshaped(net, mixed, out.shape, out.other_shape)


def _weights(part: float, size: int, interpolation: str) -> Tensor:
    """What each of the ordered numbers counts for one quantile; both float types have to agree."""
    kinds = (torch.float32, torch.float64)
    places = [float(torch.tensor(part, dtype=kind) * (size - 1)) for kind in kinds]
    one, two = (_weights_at(place, size, interpolation) for place in places)
    if float((one - two).abs().max()) > 1e-3:
        raise Refused(f"needs a quantile whose place float32 tells exactly, got {part}")
    return two


def _weights_at(place: float, size: int, interpolation: str) -> Tensor:
    above = {
        "linear": place - floor(place),
        "lower": 0.0,
        "higher": 1.0,
        "nearest": float(round(place) - floor(place)),
        "midpoint": 0.5,
    }[interpolation]
    weights = torch.zeros(size, dtype=torch.float64)
    weights[floor(place)] += 1 - above
    weights[ceil(place)] += above
    return weights
