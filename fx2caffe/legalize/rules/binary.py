"""Decompositions of Binary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from caffe2fx.layers import Bias, Eltwise, EltwiseOp, Power, Scale, Tile
from caffe2fx.layers.layer import Layer
from caffe2fx.messages.message import Shape
from fx2caffe.ir.binary import Binary, BinaryOp
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.finite import constant_like
from fx2caffe.ir.index_map import index_map
from fx2caffe.ir.reshape import reshaped_source, viewed
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.legalize.rule import LayerCall, Tops


class Sizes(NamedTuple):
    """Holds a shape at both batch sizes."""

    shape: Shape
    other_shape: Shape


def _sizes(symbol: Symbol) -> Sizes:
    return Sizes(symbol.shape, symbol.other_shape)


def binary(net: Emitter, call: LayerCall[Binary]) -> Tops:
    """Express DIV by MUL and MIN by MAX; ADD, MUL and MAX broadcast in the cheapest way.

    before: Binary{MUL} of (N,C,H,W) and (N,C,1,1)
    after:  Flatten to (N,C), Scale{axis: 0} with two bottoms
    """
    layer, bottoms = call.layer, call.bottoms
    first, second = bottoms
    if layer.op is BinaryOp.DIV:
        inverse = net.add(Power(power=-1), second, suffix="inverse")
        return (net.add(Binary(op=BinaryOp.MUL), first, inverse),)
    if layer.op is BinaryOp.MIN:
        one, two = (net.add(Power(scale=-1), b, suffix="negative") for b in bottoms)
        return (net.add(Power(scale=-1), net.add(Binary(op=BinaryOp.MAX), one, two, suffix="max")),)
    return (_join(net, layer, first, second),)


def _join(net: Emitter, layer: Binary, first: Symbol, second: Symbol) -> Symbol:
    pairs = zip(_sizes(first), _sizes(second), strict=True)
    full = Sizes(*(layer.top_shapes(pair, 1)[0] for pair in pairs))
    if _sizes(first) == _sizes(second):
        return net.add(_eltwise(layer), first, second)
    if _cost(second, first, full) < _cost(first, second, full):
        first, second, layer = second, first, Binary(op=layer.op, coeff=layer.coeff[::-1])
    first = reshaped_source(net, first, *_padded(first, len(full.shape)), suffix="ranked")
    first = _tiled(net, first, full, _repeated_axes(first, full))
    if layer.op is BinaryOp.MAX:
        return net.add(_eltwise(layer), first, _repeated(net, second, first))
    return _over_run(net, layer, first, second)


def _eltwise(layer: Binary) -> Layer:
    if layer.op is BinaryOp.ADD:
        return Eltwise(coeff=layer.coeff)
    return Eltwise(operation=EltwiseOp.PROD if layer.op is BinaryOp.MUL else EltwiseOp.MAX)


def _cost(first: Symbol, second: Symbol, full: Sizes) -> tuple[int, int, int]:
    """Return the cost of tiling the first to the full shape, and the second within its own axes."""
    missing = _repeated_axes(first, full)
    along_batch = sum(full.shape[axis] != full.other_shape[axis] for axis in missing)
    return along_batch, len(missing) + len(_span(second, full)[2]), len(missing)


def _repeated_axes(symbol: Symbol, full: Sizes) -> list[int]:
    """Return the axes of the result along which torch repeats this tensor."""
    own = _padded(symbol, len(full.shape))
    return [
        axis
        for axis in range(len(full.shape))
        if (own.shape[axis], own.other_shape[axis]) != (full.shape[axis], full.other_shape[axis])
    ]


def _span(symbol: Symbol, full: Sizes) -> tuple[int, int, list[int]]:
    """Return start and end of the axes that a tensor has, and those between that it repeats."""
    missing = _repeated_axes(symbol, full)
    axes = range(len(full.shape))
    # Axes of size 1 need not be among them.
    kept = [
        axis
        for axis in axes
        if axis not in missing and (full.shape[axis], full.other_shape[axis]) != (1, 1)
    ]
    start, end = (kept[0], kept[-1] + 1) if kept else (0, 0)
    return start, end, [axis for axis in missing if start <= axis < end]


def _padded(symbol: Symbol, rank: int) -> Sizes:
    """Return the shape with leading axes of size 1, as torch aligns shapes."""
    ones = (1,) * (rank - symbol.rank)
    return Sizes(ones + symbol.shape, ones + symbol.other_shape)


def _tiled(net: Emitter, symbol: Symbol, full: Sizes, axes: Sequence[int]) -> Symbol:
    """Tile the tensor along `axes`; it has the result's rank then, unless there are none."""
    if axes:
        symbol = reshaped_source(net, symbol, *_padded(symbol, len(full.shape)), suffix="aligned")
    for axis in axes:
        if full.shape[axis] != full.other_shape[axis]:
            raise Refused(f"needs a tensor of the result's batch, got {symbol.shape}")
        symbol = net.add(Tile(axis=axis, tiles=full.shape[axis]), symbol, suffix="tile")
    return symbol


def _repeated(net: Emitter, symbol: Symbol, full: Symbol) -> Symbol:
    """Repeat the tensor to exactly the shape of `full`."""
    missing = _repeated_axes(symbol, _sizes(full))
    if not any(full.carries_batch(axis) for axis in missing):
        return _tiled(net, symbol, _sizes(full), missing)
    zeros = constant_like(net, full, 0, suffix="zeros")
    return _over_run(net, Binary(op=BinaryOp.ADD), zeros, symbol, suffix="repeated")


def _over_run(
    net: Emitter, layer: Binary, first: Symbol, second: Symbol, suffix: str = ""
) -> Symbol:
    """Emit Scale or Bias with two bottoms: the second over consecutive axes of the first."""
    full = _sizes(first)
    start, end, inside = _span(second, full)
    second = _tiled(net, second, full, inside)
    run = Sizes(full.shape[start:end], full.other_shape[start:end])
    second = reshaped_source(net, second, *run, suffix="aligned")
    if run == full:
        return net.add(_eltwise(layer), first, second, suffix=suffix)
    if layer.op is BinaryOp.MUL:
        return net.add(Scale(axis=start), first, second, suffix=suffix)
    first, second = (
        symbol if factor == 1 else net.add(Power(scale=factor), symbol, suffix="scaled")
        for symbol, factor in zip((first, second), layer.coeff, strict=True)
    )
    return net.add(Bias(axis=start), first, second, suffix=suffix)


def by_copies(net: Emitter, call: LayerCall[Binary]) -> Tops:
    """Repeat both bottoms to the shape of the result, then apply Eltwise."""
    layer, bottoms = call.layer, call.bottoms
    if layer.op not in _PAIRWISE:
        raise Refused("needs a sum, a product or a maximum")
    shape, other = (
        layer.top_shapes(sizes, 1)[0]
        for sizes in ([b.shape for b in bottoms], [b.other_shape for b in bottoms])
    )
    full = [_repeated_to(net, bottom, shape, other) for bottom in bottoms]
    operation = Eltwise(operation=_PAIRWISE[layer.op])
    if layer.op is BinaryOp.ADD:
        operation = operation.replace(coeff=layer.coeff)
    return (net.add(operation, *full),)


_PAIRWISE = {
    BinaryOp.ADD: EltwiseOp.SUM,
    BinaryOp.MUL: EltwiseOp.PROD,
    BinaryOp.MAX: EltwiseOp.MAX,
}


def _repeated_to(net: Emitter, symbol: Symbol, shape: Shape, other: Shape) -> Symbol:
    ones = (1,) * (len(shape) - symbol.rank)
    symbol = viewed(net, symbol, lambda s: (*ones, *s), suffix="aligned")
    missing = [axis for axis, size in enumerate(shape) if symbol.shape[axis] != size]
    if any(shape[axis] != other[axis] for axis in missing):
        raise Refused(f"needs a tensor of the result's batch, got {symbol.shape}")
    # The channels are repeated first, while the tensor is small.
    for axes in ([a for a in missing if a < 2], [a for a in missing if a >= 2]):
        symbol = index_map(
            net, symbol, {axis: (0,) * shape[axis] for axis in axes}, suffix="copies"
        )
    return symbol
