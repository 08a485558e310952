"""Decompositions of Reduce and Reduction."""

from __future__ import annotations

from itertools import pairwise
from math import prod

import torch

from caffe2fx.layers import (
    ArgMax,
    Pooling,
    PoolMethod,
    Power,
    Reduction,
    ReductionOp,
    Slice,
)
from caffe2fx.layers.layer import axis_of
from caffe2fx.messages.message import Shape
from fx2caffe.ir.axis_matrix import AxisMatrix
from fx2caffe.ir.binary import PRODUCT
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.reduce import GLOBAL, INNER, Reduce, ReduceOp, leaves_ones
from fx2caffe.ir.reshape import as_image, reshaped, reshaped_source, split_shape
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.legalize.rule import LayerCall, Tops

PARTS = 16  # parts of an axis that one Eltwise takes at once


def reduce(net: Emitter, call: LayerCall[Reduce]) -> Tops:
    """Reduce each run of consecutive axes by itself, from the last to the first.

    before: Reduce{SUM axes: 1, 3} of (N,C,H,W)
    after:  Reduction{SUM axis: 3}, Reshape, Convolution 1x1 of ones, Reshape
    """
    layer, bottoms = call.layer, call.bottoms
    bottom = top = bottoms[0]
    if layer.op in GLOBAL and layer.axes == (2, 3) and bottom.rank == 4:
        pool = Pooling(pool=GLOBAL[layer.op], global_pooling=True)
        top = net.add(pool, bottom, suffix="" if layer.keepdim else "pool")
    else:
        for first, last in reversed(_runs(layer.axes)):
            top = _one_run(net, layer, top, first, last)
            # Sums along the remaining axes are of squares or magnitudes already.
            layer = layer.replace(op=ReduceOp.SUM) if layer.op in INNER else layer
    shape, other = (layer.top_shapes([sizes], 1)[0] for sizes in (bottom.shape, bottom.other_shape))
    return (reshaped_source(net, top, shape, other),)


def _runs(axes: Shape) -> list[tuple[int, int]]:
    """Split (0, 2, 3) into the runs (0, 0) and (2, 3)."""
    breaks = [i for i, (a, b) in enumerate(pairwise(axes), 1) if b != a + 1]
    return [(axes[start], axes[end - 1]) for start, end in pairwise([0, *breaks, len(axes)])]


def _one_run(net: Emitter, layer: Reduce, bottom: Symbol, first: int, last: int) -> Symbol:
    """Reduce axes first..last to one of size 1; trailing axes are removed, except by a maximum."""
    trailing = not leaves_ones(layer.op, (last,), bottom.rank)
    final = first == layer.axes[0] and layer.keepdim is not trailing
    suffix = "" if final else f"axis{first}"
    if trailing:
        reduction = Reduction(operation=ReductionOp[layer.op.name], axis=first)
        return net.add(reduction, bottom, suffix=suffix)
    bottom = _merged(net, bottom, first, last)
    if layer.op is ReduceOp.MAX:
        return net.add(ArgMax(axis=first, out_max_val=True), bottom, suffix=suffix)
    if layer.op is ReduceOp.PROD:
        return _multiplied(net, bottom, first, suffix)
    if layer.op in INNER:
        bottom = net.add(INNER[layer.op], bottom, suffix="inner")
    size = bottom.static_size(first)
    weight = 1 / size if layer.op is ReduceOp.MEAN else 1.0
    row = torch.full((1, size), weight, dtype=torch.float64)
    return net.add(AxisMatrix(axis=first, rows=1), bottom, blobs=[row], suffix=suffix)


def _multiplied(net: Emitter, bottom: Symbol, axis: int, suffix: str) -> Symbol:
    """Multiply all elements of an axis: split it into equal parts, multiply those, and recurse."""
    size = bottom.static_size(axis)
    if size == 1:
        return bottom
    count = min(size, PARTS)
    length = size // count
    points = tuple(length * index for index in range(1, size // length + (size % length > 0)))
    cut = Slice(axis=axis, slice_point=points)
    parts = net.add_many(cut, bottom, suffix="parts", tops=1 + len(points))
    whole = parts[: size // length]
    product = net.add(PRODUCT, *whole, suffix=suffix)
    product = _multiplied(net, product, axis, suffix)
    if len(whole) == len(parts):
        return product
    rest = _multiplied(net, parts[-1], axis, suffix)
    return net.add(PRODUCT, product, rest, suffix=suffix)


def _merged(net: Emitter, bottom: Symbol, first: int, last: int) -> Symbol:
    shape, other = (
        (*sizes[:first], prod(sizes[first : last + 1]), *sizes[last + 1 :])
        for sizes in (bottom.shape, bottom.other_shape)
    )
    return reshaped_source(net, bottom, shape, other, suffix="merged")


def by_reduce(net: Emitter, call: LayerCall[Reduction]) -> Tops:
    """Reduce all axes from the layer's on, then multiply by its coefficient.

    before: Reduction{MEAN axis: 2 coeff: 3}     after: Reduce{MEAN axes: 2, 3}, Power{3}
    """
    layer, bottom = call.layer, call.bottom
    axes = tuple(range(axis_of(layer.axis, bottom.rank), bottom.rank))
    wide = Reduce(op=ReduceOp[layer.operation.name], axes=axes)
    if layer.coeff == 1:
        return (net.add(wide, bottom),)
    return (net.add(Power(scale=layer.coeff), net.add(wide, bottom, suffix="reduced")),)


def by_poolings(net: Emitter, call: LayerCall[Reduce]) -> Tops:
    """Reduce one axis after the other, as the height of an image that one window covers."""
    layer, bottoms = call.layer, call.bottoms
    if layer.op not in _POOLED:
        raise Refused(f"needs a sum, a mean or a maximum, got {layer.op.name}")
    bottom = symbol = bottoms[0]
    if layer.op in INNER:
        symbol = net.add(INNER[layer.op], bottom, suffix="inner")
    for axis in reversed(layer.axes):
        symbol = _pooled(net, _POOLED[layer.op], symbol, axis)
    count = prod(bottom.static_size(axis) for axis in layer.axes)
    if layer.op not in (ReduceOp.MEAN, ReduceOp.MAX):
        symbol = net.add(Power(scale=count), symbol, suffix="sum")
    shape, other = (layer.top_shapes([sizes], 1)[0] for sizes in (bottom.shape, bottom.other_shape))
    return (reshaped(net, symbol, shape, other),)


_POOLED = {
    ReduceOp.MAX: PoolMethod.MAX,
    **dict.fromkeys((ReduceOp.MEAN, ReduceOp.SUM, ReduceOp.ASUM, ReduceOp.SUMSQ), PoolMethod.AVE),
}


def _pooled(net: Emitter, method: PoolMethod, bottom: Symbol, axis: int) -> Symbol:
    """Reduce one axis to size 1."""
    outer, size, inner = split_shape(bottom, axis, axis)
    image = as_image(net, bottom, (outer, size, inner))
    window = Pooling(pool=method, kernel_h=size, kernel_w=1)
    if inner == 1:
        window = Pooling(pool=method, global_pooling=True)
    made = net.add(window, image, suffix=f"axis{axis}")
    shape, other = ((*s[:axis], 1, *s[axis + 1 :]) for s in (bottom.shape, bottom.other_shape))
    return reshaped(net, made, shape, other, suffix=f"axis{axis}")
