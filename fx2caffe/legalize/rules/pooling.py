"""Decompositions of Pooling."""

from __future__ import annotations

from math import prod
from operator import le

import torch

from caffe2fx.layers import Convolution, Crop, DummyData, Pooling, PoolMethod, RoundMode
from fx2caffe.ir.axis_matrix import AxisMatrix
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.index_map import index_map
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.legalize.rule import LayerCall, Tops


def floor_by_crop(net: Emitter, call: LayerCall[Pooling]) -> Tops:
    """Round up, then crop the last row and column that rounding down does not give.

    before: Pooling{round_mode: FLOOR}
    after:  Pooling, DummyData 1x1xHxW, Crop to its H and W (where the sizes differ at all)
    """
    layer, bottom = call.layer, call.bottom
    up = layer.replace(round_mode=RoundMode.CEIL)
    wanted = layer.top_shapes([bottom.shape], 1)[0]
    if up.top_shapes([bottom.shape], 1)[0] == wanted:
        return net.add_many(up, bottom, tops=call.tops)
    pooled = net.add_many(up, bottom, suffix="ceil", tops=call.tops)
    size = net.add(DummyData(shape=((1, 1, *wanted[2:]),)), suffix="size")
    return tuple(net.add(Crop(), top, size) for top in pooled)


def global_by_size(net: Emitter, call: LayerCall[Pooling]) -> Tops | None:
    """Pool globally by a kernel of the image's size.

    before: Pooling{global_pooling: true} of 5x7     after: Pooling{kernel: 5x7}
    """
    layer, bottom = call.layer, call.bottom
    if not layer.global_pooling:
        return None
    height, width = (bottom.static_size(axis) for axis in (2, 3))
    window = Pooling(pool=layer.pool, kernel_h=height, kernel_w=width)
    return net.add_many(window, bottom, tops=call.tops)


def window_of_the_input(net: Emitter, call: LayerCall[Pooling]) -> Tops | None:
    """Cut a window that is larger than the padded input to its size.

    before: Pooling{kernel: 3 stride: 2} of 2x2     after: Pooling{kernel: 2 stride: 2}
    """
    layer, bottom = call.layer, call.bottom
    for axis in (2, 3):
        bottom.static_size(axis)  # refuses it, if it follows the batch
    kernel, sizes = layer.geometry(bottom.shape)[0], layer.padded(bottom.shape)
    high, wide = map(min, kernel, sizes)
    if (high, wide) == kernel:
        return None
    cut = layer.replace(kernel_size=None, kernel_h=high, kernel_w=wide)
    return net.add_many(cut, bottom, tops=call.tops)


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
    ends = [bottom.static_size(axis) - (wanted[axis] - 1) * step for axis, step in pairs]
    if min(ends) < 1:
        raise Refused("needs windows that start within the input")
    fitting = Pooling(kernel_h=ends[0], kernel_w=ends[1], stride_h=stride[0], stride_w=stride[1])
    pooled = net.add_many(up, bottom, suffix="ceil", tops=call.tops)
    size = net.add(fitting, bottom, suffix="size")
    return tuple(net.add(Crop(), top, size) for top in pooled)


def average_by_filter(net: Emitter, call: LayerCall[Pooling]) -> Tops | None:
    """Average whole windows of one divisor by a depthwise convolution, which rounds down.

    before: Pooling{AVE kernel: 3 pad: 1}     after: Convolution of 1/9 and group: channels
    """
    layer, bottom = call.layer, call.bottom
    kernel, stride, pad = layer.geometry(bottom.shape)
    down = layer.replace(round_mode=RoundMode.FLOOR)
    if layer.pool is not PoolMethod.AVE or layer.global_pooling:
        return None
    whole = all(map(le, kernel, layer.padded(bottom.shape)))
    if not whole or down.top_shapes([bottom.shape], 1) != layer.top_shapes([bottom.shape], 1):
        raise Refused("needs whole windows, got a partial last one")
    channels = bottom.static_size(1)
    filters = Convolution(
        num_output=channels, group=channels, bias_term=False,
        kernel_h=kernel[0], kernel_w=kernel[1], stride_h=stride[0], stride_w=stride[1],
        pad_h=pad[0], pad_w=pad[1],
    )  # fmt: skip
    weight = torch.full((channels, 1, *kernel), 1 / prod(kernel), dtype=torch.float64)
    return (net.add(filters, bottom, blobs=[weight]),)


def average_by_matrices(net: Emitter, call: LayerCall[Pooling]) -> Tops | None:
    """Average along one axis after the other, each by a matrix, for any windows and divisors."""
    layer, bottom = call.layer, call.bottom
    if layer.pool is not PoolMethod.AVE or layer.global_pooling:
        return None
    kernel, stride, pad = layer.geometry(bottom.shape)
    for axis, k, s, p in zip((2, 3), kernel, stride, pad, strict=True):
        line = Pooling(
            pool=PoolMethod.AVE, kernel_h=k, kernel_w=1, stride_h=s, stride_w=1, pad_h=p, pad_w=0,
            round_mode=layer.round_mode,
        )  # fmt: skip
        eye = torch.eye(bottom.static_size(axis), dtype=torch.float64)[None, None]
        rows = line.compute([eye], [], 1)[0][0, 0]
        suffix = "" if axis == 3 else "height"
        bottom = net.add(AxisMatrix(axis=axis, rows=len(rows)), bottom, blobs=[rows], suffix=suffix)
    return (bottom,)


def cut_before(net: Emitter, call: LayerCall[Pooling]) -> Tops | None:
    """Crop an unpadded bottom to the rows and columns that the windows reach, then round up."""
    return _trimmed(net, call.layer, call.bottom, call.tops, before=True)


def cut_after(net: Emitter, call: LayerCall[Pooling]) -> Tops | None:
    """Round up, then drop the last row and column."""
    return _trimmed(net, call.layer, call.bottom, call.tops, before=False)


def _trimmed(
    net: Emitter, layer: Pooling, bottom: Symbol, tops: int, *, before: bool
) -> Tops | None:
    if layer.round_mode is RoundMode.CEIL or tops != 1:
        return None
    kernel, stride, pad = layer.geometry(bottom.shape)
    up, counts = layer.replace(round_mode=RoundMode.CEIL), layer.top_shapes([bottom.shape], 1)[0]
    if not before:
        pooled = net.add(up, bottom, suffix="ceil")
        return (index_map(net, pooled, {axis: range(counts[axis]) for axis in (2, 3)}),)
    if any(pad):
        raise Refused(f"needs windows without pad, got {pad}")
    reach = {
        axis: range((counts[axis] - 1) * s + k)
        for axis, k, s in zip((2, 3), kernel, stride, strict=True)
    }
    return (net.add(up, index_map(net, bottom, reach, suffix="padded")),)
