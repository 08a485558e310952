"""What other rules leave to DummyData, Reduction, Tile and the like, in layers that all have.

Filters that are zero but for one number move numbers, poolings of one axis reduce it, and a
Deconvolution of ones repeats.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from caffe2fx.layer import Layer, axis_of
from caffe2fx.layers import (
    AbsVal,
    Bias,
    Convolution,
    Crop,
    Deconvolution,
    Eltwise,
    EltwiseOp,
    Flatten,
    InnerProduct,
    Pooling,
    PoolMethod,
    Power,
    RoundMode,
)
from caffe2fx.message import Shape
from fx2caffe.emit import Emitter, Refused, Symbol
from fx2caffe.legalize.axis_matrix import AxisMatrix
from fx2caffe.legalize.binary import Binary, BinaryOp
from fx2caffe.legalize.gather import DENSE
from fx2caffe.legalize.index_map import IndexMap, Span, index_map
from fx2caffe.legalize.permute import Permute, swap_by_swap
from fx2caffe.legalize.reduce import Reduce, ReduceOp
from fx2caffe.legalize.rules import LayerCall, Tops
from fx2caffe.legalize.standardize import Standardize
from fx2caffe.reshaping import by_reshape, reshaped, viewed

TAPS = 64  # numbers in a filter that takes one of them; a matrix is cheaper from there on


def lead(bottom: Symbol) -> int:
    """How many axes stay in front in an image made of a bottom: the batch, where it is one."""
    return int(bottom.rank > 0 and bottom.carries_batch(0))


def as_image(
    net: Emitter, bottom: Symbol, sizes: tuple[int, int, int], role: str = "image"
) -> Symbol:
    """(batch or 1, *sizes)."""
    count = lead(bottom)
    return viewed(net, bottom, lambda s: (prod(s[:count]), *sizes), role=role)


def around(bottom: Symbol, first: int, last: int) -> tuple[int, int, int]:
    """The axes before (but the batch), from, and behind `first` to `last`, each as one size."""
    cuts = [lead(bottom), first, last + 1, bottom.rank]
    outer, size, inner = (
        prod(bottom.fixed(axis) for axis in range(low, high))
        for low, high in pairwise(cuts)
    )
    return outer, size, inner


def flatten_by_reshape(net: Emitter, call: LayerCall[Flatten]) -> Tops:
    """before: Flatten{axis: 0 end_axis: 1} of (1,12,5)     after: Reshape{12 5}"""
    bottom = call.bottom
    shape, other = (call.layer.top_shapes([sizes], 1)[0] for sizes in (bottom.shape, bottom.other))
    return (by_reshape(net, bottom, shape, other),)


def global_by_size(net: Emitter, call: LayerCall[Pooling]) -> Tops | None:
    """before: Pooling{global_pooling: true} of 5x7     after: Pooling{kernel: 5x7}"""
    layer, bottom = call.layer, call.bottom
    if not layer.global_pooling:
        return None
    height, width = (bottom.fixed(axis) for axis in (2, 3))
    window = Pooling(pool=layer.pool, kernel_h=height, kernel_w=width)
    return net.add_many(window, bottom, tops=call.tops)


def floor_by_fitting(net: Emitter, call: LayerCall[Pooling]) -> Tops | None:
    """Round up, then crop to the size of another pooling, whose windows end where the input does.

    before: Pooling{kernel: 3 stride: 2 pad: 1 FLOOR} of 8x8
    after:  Pooling{kernel: 3 stride: 2 pad: 1} 5x5, Pooling{kernel: 2 stride: 2} 4x4, Crop
    """
    layer, bottom = call.layer, call.bottom
    if layer.round_mode is RoundMode.CEIL:
        return None
    up, wanted = layer.replace(round_mode=RoundMode.CEIL), layer.top_shapes([bottom.shape], 1)[0]
    _, stride, _ = layer.geometry(bottom.shape)
    pairs = zip((2, 3), stride, strict=True)
    ends = [bottom.fixed(axis) - (wanted[axis] - 1) * step for axis, step in pairs]
    if min(ends) < 1:
        raise Refused("needs windows that start within the input")
    fitting = Pooling(
        kernel_h=ends[0], kernel_w=ends[1], stride_h=stride[0], stride_w=stride[1]
    )
    pooled = net.add_many(up, bottom, role="ceil", tops=call.tops)
    size = net.add(fitting, bottom, role="size")
    return tuple(net.add(Crop(), top, size) for top in pooled)


def average_by_filter(net: Emitter, call: LayerCall[Pooling]) -> Tops | None:
    """Whole windows of one divisor: a convolution of each channel, which rounds down.

    before: Pooling{AVE kernel: 3 pad: 1}     after: Convolution of 1/9 and group: channels
    """
    layer, bottom = call.layer, call.bottom
    kernel, stride, pad = layer.geometry(bottom.shape)
    down = layer.replace(round_mode=RoundMode.FLOOR)
    if layer.pool is not PoolMethod.AVE or layer.global_pooling:
        return None
    if down.top_shapes([bottom.shape], 1) != layer.top_shapes([bottom.shape], 1):
        raise Refused("needs whole windows, got a partial last one")
    channels = bottom.fixed(1)
    filters = Convolution(
        num_output=channels, group=channels, bias_term=False,
        kernel_h=kernel[0], kernel_w=kernel[1], stride_h=stride[0], stride_w=stride[1],
        pad_h=pad[0], pad_w=pad[1],
    )  # fmt: skip
    weight = torch.full((channels, 1, *kernel), 1 / prod(kernel), dtype=torch.float64)
    return (net.add(filters, bottom, blobs=[weight]),)


def average_by_matrices(net: Emitter, call: LayerCall[Pooling]) -> Tops | None:
    """Any averages, one axis after the other: each as a matrix."""
    layer, bottom = call.layer, call.bottom
    if layer.pool is not PoolMethod.AVE or layer.global_pooling:
        return None
    kernel, stride, pad = layer.geometry(bottom.shape)
    for axis, k, s, p in zip((2, 3), kernel, stride, pad, strict=True):
        line = Pooling(
            pool=PoolMethod.AVE, kernel_h=k, kernel_w=1, stride_h=s, stride_w=1, pad_h=p, pad_w=0,
            round_mode=layer.round_mode,
        )  # fmt: skip
        eye = torch.eye(bottom.fixed(axis), dtype=torch.float64)[None, None]
        rows = line.compute([eye], [], 1)[0][0, 0]
        role = "" if axis == 3 else "height"
        bottom = net.add(AxisMatrix(axis=axis, rows=len(rows)), bottom, blobs=[rows], role=role)
    return (bottom,)


def cut_before(net: Emitter, call: LayerCall[Pooling]) -> Tops | None:
    """Without a pad: only the rows and columns that the windows reach."""
    return _trimmed(net, call.layer, call.bottom, call.tops, before=True)


def cut_after(net: Emitter, call: LayerCall[Pooling]) -> Tops | None:
    """Round up, and leave the last row and column out."""
    return _trimmed(net, call.layer, call.bottom, call.tops, before=False)


def _trimmed(
    net: Emitter, layer: Pooling, bottom: Symbol, tops: int, *, before: bool
) -> Tops | None:
    if layer.round_mode is RoundMode.CEIL or tops != 1:
        return None
    kernel, stride, pad = layer.geometry(bottom.shape)
    up, counts = layer.replace(round_mode=RoundMode.CEIL), layer.top_shapes([bottom.shape], 1)[0]
    if not before:
        pooled = net.add(up, bottom, role="ceil")
        return (index_map(net, pooled, {axis: range(counts[axis]) for axis in (2, 3)}),)
    if any(pad):
        raise Refused(f"needs windows without pad, got {pad}")
    reach = {
        axis: range((counts[axis] - 1) * s + k)
        for axis, k, s in zip((2, 3), kernel, stride, strict=True)
    }
    return (net.add(up, index_map(net, bottom, reach, role="reached")),)


def by_columns(net: Emitter, call: LayerCall[AxisMatrix]) -> Tops:
    """An axis as height: a filter as high as it for each row of the matrix, channel by channel."""
    layer, bottom = call.layer, call.bottom
    outer, size, inner = around(bottom, layer.axis, layer.axis)
    if outer * layer.rows * size > DENSE:
        raise Refused(f"needs at most {DENSE} weights, got {outer * layer.rows * size}")
    filters = Convolution(
        num_output=outer * layer.rows, group=outer, bias_term=False, kernel_h=size, kernel_w=1
    )
    weight = call.blobs[0].repeat(outer, 1).reshape(outer * layer.rows, 1, size, 1)
    image = as_image(net, bottom, (outer, size, inner))
    made = net.add(filters, image, blobs=[weight], role="rows")
    shape, other = (layer.top_shapes([sizes], 1)[0] for sizes in (bottom.shape, bottom.other))
    return (reshaped(net, made, shape, other),)


def product_by_filters(net: Emitter, call: LayerCall[InnerProduct]) -> Tops | None:
    """The last axis as channels and back; one of the two is the product, the other moves alone.

    before: InnerProduct{axis: 3} of (N,C,H,W)
    after:  Reshape (N,1,CH,W), Convolution 1xW, Deconvolution 1xnum_output, Reshape
    """
    layer, bottom = call.layer, call.bottom
    if layer.transpose or axis_of(layer.axis, bottom.rank) != bottom.rank - 1:
        return None
    return (_like(net, _rows(net, bottom, call.blobs[0], call.blobs[1:]), layer, bottom),)


def _like(net: Emitter, made: Symbol, layer: Layer, bottom: Symbol) -> Symbol:
    """With the shape that the layer gives."""
    shape, other = (layer.top_shapes([sizes], 1)[0] for sizes in (bottom.shape, bottom.other))
    return reshaped(net, made, shape, other)


def _rows(net: Emitter, bottom: Symbol, weight: Tensor, bias: Sequence[Tensor]) -> Symbol:
    outer, size, _ = around(bottom, bottom.rank - 1, bottom.rank - 1)
    image, rows = as_image(net, bottom, (1, outer, size)), len(weight)
    # The bias is one of channels: only the first of the two layers can have it.
    added = bias if size < rows and rows * rows > DENSE else ()
    first, second, bias = weight, torch.eye(rows), () if added else bias
    if size < rows and not bias:
        first, second = torch.eye(size), weight.t()
    if max(first.numel(), second.numel()) > DENSE:
        raise Refused(f"needs a matrix of at most {DENSE} numbers, got {tuple(weight.shape)}")
    into = Convolution(
        num_output=len(first), bias_term=bool(bias), kernel_h=1, kernel_w=size
    )
    blobs = [first.reshape(len(first), 1, 1, size), *bias]
    channels = net.add(into, image, blobs=blobs, role="channels")
    back = Deconvolution(
        num_output=1, bias_term=False, kernel_h=1, kernel_w=rows, stride_h=1, stride_w=rows
    )
    moved = second.reshape(len(first), 1, 1, rows)
    made = net.add(back, channels, blobs=[moved], role="rows")
    return net.add(Bias(axis=3), made, blobs=added, role="bias") if added else made


def by_filters(net: Emitter, call: LayerCall[Permute]) -> Tops:
    """Each swap by filters of one 1."""
    bottoms = call.bottoms
    (source,) = bottoms
    return swap_by_swap(
        net,
        call.layer,
        source,
        lambda symbol, runs: _swapped(net, symbol, [_size(source, run) for run in runs]),
    )


def _size(source: Symbol, axes: Sequence[int]) -> int:
    """The size of a run of axes; the batch in front, which stays there, is not counted."""
    return prod(source.fixed(axis) for axis in axes if axis >= lead(source))


def _swapped(net: Emitter, symbol: Symbol, sizes: Sequence[int]) -> Symbol:
    """(outer, a, b, inner) to (outer, b, a, inner), by the shorter of the two axes."""
    outer, a, b, inner = sizes
    side = min(a, b)
    if outer * side * side > DENSE:
        raise Refused(f"needs a filter of at most {DENSE} numbers, got {outer * side * side}")
    weight = torch.eye(side).repeat(outer, 1).reshape(outer * side, 1, side, 1)
    window: dict[str, Any] = {"kernel_h": side, "kernel_w": 1, "stride_h": side, "stride_w": 1}
    if a <= b:
        image = as_image(net, symbol, (outer * a, b, inner))
        behind = Deconvolution(num_output=outer, group=outer, bias_term=False, **window)
        return net.add(behind, image, blobs=[weight], role="swap")
    image = as_image(net, symbol, (outer, a * b, inner))
    forward = Convolution(num_output=outer * b, group=outer, bias_term=False, **window)
    return net.add(forward, image, blobs=[weight], role="swap")


def by_copies(net: Emitter, call: LayerCall[Binary]) -> Tops:
    """Both repeated to the shape of the result, then number by number."""
    layer, bottoms = call.layer, call.bottoms
    if layer.op not in _PAIRWISE:
        raise Refused("needs a sum, a product or a maximum")
    shape, other = (
        layer.top_shapes(sizes, 1)[0]
        for sizes in ([b.shape for b in bottoms], [b.other for b in bottoms])
    )
    full = [_repeated(net, bottom, shape, other) for bottom in bottoms]
    operation = Eltwise(operation=_PAIRWISE[layer.op])
    if layer.op is BinaryOp.ADD:
        operation = operation.replace(coeff=layer.coeff)
    return (net.add(operation, *full),)


_PAIRWISE = {
    BinaryOp.ADD: EltwiseOp.SUM,
    BinaryOp.MUL: EltwiseOp.PROD,
    BinaryOp.MAX: EltwiseOp.MAX,
}


def _repeated(net: Emitter, symbol: Symbol, shape: Shape, other: Shape) -> Symbol:
    ones = (1,) * (len(shape) - symbol.rank)
    symbol = viewed(net, symbol, lambda s: (*ones, *s), role="aligned")
    missing = [axis for axis, size in enumerate(shape) if symbol.shape[axis] != size]
    if any(shape[axis] != other[axis] for axis in missing):
        raise Refused(f"needs a tensor of the result's batch, got {symbol.shape}")
    # The channels first, while there is little to repeat.
    for axes in ([a for a in missing if a < 2], [a for a in missing if a >= 2]):
        symbol = index_map(net, symbol, {axis: (0,) * shape[axis] for axis in axes}, role="copies")
    return symbol


def by_poolings(net: Emitter, call: LayerCall[Reduce]) -> Tops:
    """One run of axes after the other, as the height of an image that one window covers."""
    layer, bottoms = call.layer, call.bottoms
    if layer.op not in _POOLED:
        raise Refused(f"needs a sum, a mean or a maximum, got {layer.op.name}")
    bottom = symbol = bottoms[0]
    if layer.op in _INNER:
        symbol = net.add(_INNER[layer.op], bottom, role="inner")
    for axis in reversed(layer.axes):
        symbol = _pooled(net, _POOLED[layer.op], symbol, axis)
    count = prod(bottom.fixed(axis) for axis in layer.axes)
    if layer.op not in (ReduceOp.MEAN, ReduceOp.MAX):
        symbol = net.add(Power(scale=count), symbol, role="sum")
    shape, other = (layer.top_shapes([sizes], 1)[0] for sizes in (bottom.shape, bottom.other))
    return (reshaped(net, symbol, shape, other),)


_INNER = {ReduceOp.SUMSQ: Power(power=2), ReduceOp.ASUM: AbsVal()}
_POOLED = {
    ReduceOp.MAX: PoolMethod.MAX,
    **dict.fromkeys(
        (ReduceOp.MEAN, ReduceOp.SUM, ReduceOp.ASUM, ReduceOp.SUMSQ), PoolMethod.AVE
    ),
}


def _pooled(net: Emitter, method: PoolMethod, bottom: Symbol, axis: int) -> Symbol:
    """One axis made 1."""
    outer, size, inner = around(bottom, axis, axis)
    image = as_image(net, bottom, (outer, size, inner))
    window = Pooling(pool=method, kernel_h=size, kernel_w=1)
    if inner == 1:
        window = Pooling(pool=method, global_pooling=True)
    made = net.add(window, image, role=f"axis{axis}")
    shape, other = ((*s[:axis], 1, *s[axis + 1 :]) for s in (bottom.shape, bottom.other))
    return reshaped(net, made, shape, other, role=f"axis{axis}")


def by_averages(net: Emitter, call: LayerCall[Standardize]) -> Tops:
    """Mean and variance by poolings, each repeated by a Deconvolution.

    before: Standardize{axis}
    after:  Reshape (1,rows,n,1), Pooling{AVE}, Deconvolution, Eltwise{coeff: 1, -1}, Power{2},
            Pooling{AVE}, Power{power: -0.5 shift: eps}, Deconvolution, Eltwise{PROD}, Reshape
    """
    layer, bottom = call.layer, call.bottom
    rows, count, _ = around(bottom, layer.axis, bottom.rank - 1)
    image = as_image(net, bottom, (rows, count, 1))
    average = Pooling(pool=PoolMethod.AVE, global_pooling=True)
    copies = {2: (0,) * count}
    if layer.centred:
        mean = index_map(net, net.add(average, image, role="mean"), copies, role="means")
        image = net.add(Eltwise(coeff=(1, -1)), image, mean, role="centred")
    square = net.add(Power(power=2), image, role="square")
    variance = net.add(average, square, role="variance")
    inverse = net.add(Power(power=-0.5, shift=layer.eps), variance, role="inverse")
    factor = index_map(net, inverse, copies, role="factor")
    normal = net.add(Eltwise(operation=EltwiseOp.PROD), image, factor, role="normal")
    return (reshaped(net, normal, bottom.shape, bottom.other),)


class _Filter(NamedTuple):
    """A filter of one 1 along one axis: its size, where the 1 stands, its stride and its pad."""

    kernel: int
    one: int
    stride: int
    pad: int

    @classmethod
    def of(cls, span: Span, size: int) -> _Filter:
        """The filter that reads a span of `size` numbers, zeros outside of them.

        Raises Refused where the places outside are not outside the input.
        """
        count = span.before + span.length + span.after
        offset = span.start - span.before * span.step
        places = [offset + index * span.step for index in range(count)]
        inside = [0 <= place < size for place in places]
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
    """Spans of the image axes, zeros outside: a filter with one 1, channel by channel.

    before: x[:, :, 1:, ::2]      after: Convolution{kernel 2x1 stride 1x2 group: channels}
    """
    layer, bottom = call.layer, call.bottom
    if bottom.rank != 4 or layer.first < 2 or layer.outside != 0:
        raise Refused("needs the image axes of a 4-D bottom, and zeros outside")
    filters = {axis: _Filter(1, 0, 1, 0) for axis in (2, 3)}
    for axis, blob in zip(layer.axes, call.blobs, strict=True):
        span = Span.of(tuple(int(place) for place in blob))
        if span is None:
            raise Refused("needs places at equal steps")
        filters[axis] = _Filter.of(span, bottom.fixed(axis))
    high, wide = filters[2], filters[3]
    if high.kernel * wide.kernel > TAPS:
        raise Refused(f"needs a filter of at most {TAPS} numbers, got {high.kernel * wide.kernel}")
    channels = bottom.fixed(1)
    convolution = Convolution(
        num_output=channels, group=channels, bias_term=False,
        kernel_h=high.kernel, kernel_w=wide.kernel, stride_h=high.stride, stride_w=wide.stride,
        pad_h=high.pad, pad_w=wide.pad,
    )  # fmt: skip
    weight = torch.zeros(channels, 1, high.kernel, wide.kernel)
    weight[:, :, high.one, wide.one] = 1
    return (net.add(convolution, bottom, blobs=[weight]),)
