"""Binary: two tensors, number by number, the smaller one repeated as torch broadcasts it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import torch
from torch import Tensor

from caffe2fx.layer import Layer
from caffe2fx.layers import Bias, Eltwise, EltwiseOp, Power, Scale, Tile
from caffe2fx.message import Shape
from fx2caffe.emit import Emitter, Refused, Symbol
from fx2caffe.legalize.rules import LayerCall, Tops
from fx2caffe.legalize.wide import Wide
from fx2caffe.reshaping import reshaped_source


class BinaryOp(Enum):
    """What is done with two numbers."""

    ADD = "ADD"
    MUL = "MUL"
    DIV = "DIV"
    MAX = "MAX"
    MIN = "MIN"


_MEANING: dict[BinaryOp, Callable[[Tensor, Tensor], Tensor]] = {
    BinaryOp.MUL: torch.mul,
    BinaryOp.DIV: torch.div,
    BinaryOp.MAX: torch.maximum,
    BinaryOp.MIN: torch.minimum,
}


@dataclass(frozen=True, kw_only=True)
class Binary(Wide):
    """a op b with torch's broadcasting; ADD weighs its terms: coeff[0] a + coeff[1] b."""

    type = "Binary"
    bottoms = (2, 2)

    op: BinaryOp
    coeff: tuple[float, float] = (1.0, 1.0)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        rank = max(map(len, bottoms))
        one, two = ((1,) * (rank - len(bottom)) + tuple(bottom) for bottom in bottoms)
        if any(1 not in (a, b) and a != b for a, b in zip(one, two, strict=True)):
            raise Refused(f"needs shapes that broadcast, got {bottoms[0]} and {bottoms[1]}")
        return (tuple(b if a == 1 else a for a, b in zip(one, two, strict=True)),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        first, second = bottoms
        if self.op is BinaryOp.ADD:
            return (first * self.coeff[0] + second * self.coeff[1],)
        return (_MEANING[self.op](first, second),)


class Sizes(NamedTuple):
    """A shape for both batch sizes."""

    shape: Shape
    other: Shape


def _sizes(symbol: Symbol) -> Sizes:
    return Sizes(symbol.shape, symbol.other)


def binary(net: Emitter, call: LayerCall[Binary]) -> Tops:
    """Division and minimum by product and maximum; those by the cheapest broadcast there is.

    before: Binary{MUL} of (N,C,H,W) and (N,C,1,1)
    after:  Flatten to (N,C), Scale{axis: 0} with two bottoms
    """
    layer, bottoms = call.layer, call.bottoms
    first, second = bottoms
    if layer.op is BinaryOp.DIV:
        inverse = net.add(Power(power=-1), second, role="inverse")
        return (net.add(Binary(op=BinaryOp.MUL), first, inverse),)
    if layer.op is BinaryOp.MIN:
        one, two = (net.add(Power(scale=-1), b, role="negative") for b in bottoms)
        return (net.add(Power(scale=-1), net.add(Binary(op=BinaryOp.MAX), one, two, role="max")),)
    return (_join(net, layer, first, second),)


def _join(net: Emitter, layer: Binary, first: Symbol, second: Symbol) -> Symbol:
    pairs = zip(_sizes(first), _sizes(second), strict=True)
    full = Sizes(*(layer.top_shapes(pair, 1)[0] for pair in pairs))
    if _sizes(first) == _sizes(second):
        return net.add(_eltwise(layer), first, second)
    if _cost(second, first, full) < _cost(first, second, full):
        first, second, layer = second, first, Binary(op=layer.op, coeff=layer.coeff[::-1])
    first = reshaped_source(net, first, *_padded(first, len(full.shape)), role="ranked")
    first = _tiled(net, first, full, _repeated_axes(first, full))
    if layer.op is BinaryOp.MAX:
        return net.add(_eltwise(layer), first, _repeated(net, second, first))
    return _over_run(net, layer, first, second)


def _eltwise(layer: Binary) -> Layer:
    if layer.op is BinaryOp.ADD:
        return Eltwise(coeff=layer.coeff)
    return Eltwise(operation=EltwiseOp.PROD if layer.op is BinaryOp.MUL else EltwiseOp.MAX)


def _cost(first: Symbol, second: Symbol, full: Sizes) -> tuple[int, int, int]:
    """What it takes to repeat the first to the full shape, and the second within its run."""
    missing = _repeated_axes(first, full)
    along_batch = sum(full.shape[axis] != full.other[axis] for axis in missing)
    return along_batch, len(missing) + len(_span(second, full)[2]), len(missing)


def _repeated_axes(symbol: Symbol, full: Sizes) -> list[int]:
    """The axes of the result along which torch repeats this tensor."""
    own = _padded(symbol, len(full.shape))
    return [
        axis
        for axis in range(len(full.shape))
        if (own.shape[axis], own.other[axis]) != (full.shape[axis], full.other[axis])
    ]


def _span(symbol: Symbol, full: Sizes) -> tuple[int, int, list[int]]:
    """The run of axes that a tensor has, start and end, and those inside that it lacks."""
    missing = _repeated_axes(symbol, full)
    axes = range(len(full.shape))
    # Axes of 1 need not be part of the run.
    kept = [
        axis
        for axis in axes
        if axis not in missing and (full.shape[axis], full.other[axis]) != (1, 1)
    ]
    start, end = (kept[0], kept[-1] + 1) if kept else (0, 0)
    return start, end, [axis for axis in missing if start <= axis < end]


def _padded(symbol: Symbol, rank: int) -> Sizes:
    """The shape with axes of 1 in front, as torch aligns shapes."""
    ones = (1,) * (rank - symbol.rank)
    return Sizes(ones + symbol.shape, ones + symbol.other)


def _tiled(net: Emitter, symbol: Symbol, full: Sizes, axes: Sequence[int]) -> Symbol:
    """The tensor repeated along `axes`; at the result's rank, unless there are none."""
    if axes:
        symbol = reshaped_source(net, symbol, *_padded(symbol, len(full.shape)), role="aligned")
    for axis in axes:
        if full.shape[axis] != full.other[axis]:
            raise Refused(f"needs a tensor of the result's batch, got {symbol.shape}")
        symbol = net.add(Tile(axis=axis, tiles=full.shape[axis]), symbol, role="tile")
    return symbol


def _repeated(net: Emitter, symbol: Symbol, full: Symbol) -> Symbol:
    """The tensor with exactly the shape of `full`."""
    missing = _repeated_axes(symbol, _sizes(full))
    if not any(full.carries_batch(axis) for axis in missing):
        return _tiled(net, symbol, _sizes(full), missing)
    zeros = net.add(Power(scale=0), full, role="zeros")
    return _over_run(net, Binary(op=BinaryOp.ADD), zeros, symbol, role="repeated")


def _over_run(
    net: Emitter, layer: Binary, first: Symbol, second: Symbol, role: str = ""
) -> Symbol:
    """Scale or Bias with two bottoms: the second over a contiguous run of the first's axes."""
    full = _sizes(first)
    start, end, inside = _span(second, full)
    second = _tiled(net, second, full, inside)
    run = Sizes(full.shape[start:end], full.other[start:end])
    second = reshaped_source(net, second, *run, role="aligned")
    if run == full:
        return net.add(_eltwise(layer), first, second, role=role)
    if layer.op is BinaryOp.MUL:
        return net.add(Scale(axis=start), first, second, role=role)
    first, second = (
        symbol if factor == 1 else net.add(Power(scale=factor), symbol, role="scaled")
        for symbol, factor in zip((first, second), layer.coeff, strict=True)
    )
    return net.add(Bias(axis=start), first, second, role=role)
