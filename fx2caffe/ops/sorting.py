"""Largest elements and their indices: argmax, topk, sort, median and quantile."""

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
from fx2caffe.ir.reduce import Reduce, ReduceOp
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
    """Return the index of the largest element; ties give the lowest index."""
    line, axis = _line(net, input, dim)
    return reshaped(net, first_largest(net, line, axis), out.shape, out.other_shape)


@handles(torch.argmin)
def argmin(
    net: Emitter, input: Symbol, dim: int | None = None, keepdim: bool = False, *, out: Expected
) -> Symbol:
    """Return the index of the smallest element; ties give the lowest index."""
    line, axis = _line(net, negated(net, input, "negative"), dim)
    return reshaped(net, first_largest(net, line, axis), out.shape, out.other_shape)


def _line(net: Emitter, input: Symbol, dim: int | None) -> tuple[Symbol, int]:
    """Return the input, flattened if `dim` is None, and the axis to search."""
    if dim is None or input.rank == 0:
        return viewed(net, input, lambda shape: (_count(shape),), suffix="flat"), 0
    return input, positive(dim, input.rank)


def _count(shape: Sequence[int]) -> int:
    return int(torch.Size(shape).numel())


def first_largest(net: Emitter, input: Symbol, axis: int) -> Symbol:
    """Return the (lowest) index of the largest element of an axis, which becomes size 1."""
    return ranks(net, input, axis, 1, first=True)


def ranks(net: Emitter, input: Symbol, axis: int, count: int, first: bool) -> Symbol:
    """Return the indices of the `count` largest elements, in descending order.

    Caffe takes the last of equal elements; for the `first` one, the axis is searched reversed.
    """
    size = input.shape[axis]
    if size > EXACT_INTEGER:
        raise Refused(f"needs at most 2^24 elements to search, got {size}")
    if not first or input.static_size(axis) == 1:
        return net.add(ArgMax(axis=axis, top_k=count), input, suffix="indices")
    turned = rearrange(net, input, lambda x: x.flip(axis))
    found = net.add(ArgMax(axis=axis, top_k=count), turned, suffix="reversed_indices")
    return net.add(Power(scale=-1, shift=size - 1), found, suffix="indices")


def largest(net: Emitter, input: Symbol, axis: int, count: int) -> Symbol:
    """Return the `count` largest elements of an axis, in descending order."""
    return net.add(ArgMax(axis=axis, top_k=count, out_max_val=True), input, suffix="values")


def ordered(
    net: Emitter, input: Symbol, dim: int, count: int, *, descending: bool, first: bool
) -> Pair:
    """Return the first `count` elements of the order along an axis, and their indices."""
    line = viewed(net, input, lambda s: s or (1,), suffix="flat")
    axis = positive(dim, line.rank)
    source = line if descending else negated(net, line, "negative")
    values = largest(net, source, axis, count)
    values = values if descending else net.add(Power(scale=-1), values, suffix="smallest")
    return values, ranks(net, source, axis, count, first)


def _as_expected(net: Emitter, pair: Pair, out: Expected) -> Pair:
    """Reshape both results to the shapes that torch gives."""
    metas = zip(out.meta, out.other_meta, strict=True)
    shaped = [
        reshaped(net, symbol, tuple(one.shape), tuple(two.shape))
        for symbol, (one, two) in zip(pair, metas, strict=True)
    ]
    return shaped[0], shaped[1]


def _extreme_alone(
    net: Emitter, input: Symbol, dim: int, out: Expected, descending: bool
) -> Symbol:
    """Return the largest or smallest element of an axis, which every target has in some layers."""
    line = viewed(net, input, lambda s: s or (1,), suffix="flat")
    source = line if descending else negated(net, line, "negative")
    layer = Reduce(op=ReduceOp.MAX, axes=(positive(dim, line.rank),), keepdim=True)
    found = net.add(layer, source, suffix="values")
    found = found if descending else negated(net, found, "smallest")
    return reshaped(net, found, tuple(out.meta[0].shape), tuple(out.other_meta[0].shape))


def extreme_of_axis(
    net: Emitter, input: Symbol, dim: int, out: Expected, *, descending: bool
) -> tuple[Symbol, Symbol | None]:
    """Return torch.max or torch.min over one axis: values, and the lowest index of each if read."""
    if out.read <= {0}:
        return _extreme_alone(net, input, dim, out, descending), None
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
) -> tuple[Symbol, Symbol | None]:
    """Return the k largest elements and indices; ties, unordered in torch, come last first."""
    if not sorted and k > 1:
        raise Refused("needs sorted=True, whose order torch promises, got False")
    if k == 1 and out.read <= {0}:
        return _extreme_alone(net, input, dim, out, largest), None
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
    """Sort stably, as torch's own sort on the CPU does."""
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
    _, indices = ordered(net, input, dim, count, descending=descending, first=True)
    return reshaped(net, indices, out.shape, out.other_shape)


@handles(torch.msort)
def msort(net: Emitter, input: Symbol) -> Symbol:
    return ascending(net, input, 0)


def ascending(net: Emitter, input: Symbol, axis: int) -> Symbol:
    """Return the elements of an axis in ascending order."""
    return ordered(net, input, axis, input.static_size(axis), descending=False, first=False)[0]


@handles(torch.kthvalue)
def kthvalue(
    net: Emitter, input: Symbol, k: int, dim: int = -1, keepdim: bool = False, *, out: Expected
) -> Pair:
    return _as_expected(net, _kth_smallest(net, input, k, dim), out)


def _kth_smallest(net: Emitter, input: Symbol, k: int, dim: int) -> Pair:
    """Return the last of the k smallest elements, or of the n - k + 1 largest if fewer."""
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
    """Return the median, of an even number of elements the lower of the middle two."""
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
    """Multiply the sorted elements by a matrix that weights the two next to each quantile."""
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
    """Return each sorted element's weight in a quantile; both float dtypes must agree."""
    kinds = (torch.float32, torch.float64)
    positions = [float(torch.tensor(part, dtype=kind) * (size - 1)) for kind in kinds]
    one, two = (_weights_at(position, size, interpolation) for position in positions)
    if float((one - two).abs().max()) > 1e-3:
        raise Refused(f"needs a quantile whose position is exact in float32, got {part}")
    return two


def _weights_at(position: float, size: int, interpolation: str) -> Tensor:
    above = {
        "linear": position - floor(position),
        "lower": 0.0,
        "higher": 1.0,
        "nearest": float(round(position) - floor(position)),
        "midpoint": 0.5,
    }[interpolation]
    weights = torch.zeros(size, dtype=torch.float64)
    weights[floor(position)] += 1 - above
    weights[ceil(position)] += above
    return weights
