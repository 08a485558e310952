"""max_pool2d, avg_pool2d and the adaptive poolings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from caffe2fx.layers import Pooling, PoolMethod, RoundMode, Scale
from fx2caffe.emit import Emitter, Refused, Symbol
from fx2caffe.legalize.axis_matrix import AxisMatrix
from fx2caffe.lower import handles
from fx2caffe.ops.arguments import per_axis

Sizes = int | Sequence[int]


def pooling(
    method: PoolMethod, kernel_size: Sizes, stride: Sizes | None, padding: Sizes, ceil_mode: bool
) -> Pooling:
    """The record of a pooling with torch's arguments; torch rounds down unless told otherwise."""
    kernel = per_axis(kernel_size, 2)
    steps = kernel if stride is None or stride == () or stride == [] else per_axis(stride, 2)
    pad = per_axis(padding, 2)
    return Pooling(
        pool=method,
        kernel_h=kernel[0],
        kernel_w=kernel[1],
        stride_h=steps[0],
        stride_w=steps[1],
        pad_h=pad[0],
        pad_w=pad[1],
        round_mode=RoundMode.CEIL if ceil_mode else RoundMode.FLOOR,
    )


@handles(F.max_pool2d, F.max_pool2d_with_indices)
def max_pool2d(
    net: Emitter,
    input: Symbol,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Symbol | tuple[Symbol, ...]:
    if per_axis(dilation, 2) != (1, 1):
        raise Refused(f"needs dilation 1, got {dilation}")
    layer = pooling(PoolMethod.MAX, kernel_size, stride, padding, ceil_mode)
    _check_windows(layer, input, ceil_mode)
    if return_indices:
        return net.add_many(layer, input, tops=2)
    return net.add(layer, input)


def _check_windows(layer: Pooling, input: Symbol, ceil_mode: bool) -> None:
    """Without padding, Caffe's ceil mode keeps windows that lie wholly outside; torch drops them."""
    if not ceil_mode or input.rank != 4:
        return
    kernel, stride, pad = layer.geometry(input.shape)
    outside = [s > k for k, s in zip(kernel, stride, strict=True)]
    if any(outside) and not any(pad):
        raise Refused(f"needs stride <= kernel in ceil mode, got {stride} and {kernel}")


@handles(F.avg_pool2d)
def avg_pool2d(
    net: Emitter,
    input: Symbol,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Symbol:
    if divisor_override is not None:
        raise Refused(f"needs no divisor_override, got {divisor_override}")
    layer = pooling(PoolMethod.AVE, kernel_size, stride, padding, ceil_mode)
    _check_windows(layer, input, ceil_mode)
    if count_include_pad or per_axis(padding, 2) == (0, 0):
        return net.add(layer, input)
    mean = net.add(layer, input, role="padded")
    size = [input.fixed(2), input.fixed(3)]
    covered = layer.compute([torch.ones(1, 1, *size)], [], 1)[0][0, 0]
    return net.add(Scale(axis=2, num_axes=2), mean, blobs=[1 / covered])


@handles(F.adaptive_avg_pool2d)
def adaptive_avg_pool2d(
    net: Emitter, input: Symbol, output_size: int | Sequence[int | None]
) -> Symbol:
    sizes = (input.fixed(-2), input.fixed(-1))
    wanted = _output_size(output_size, sizes)
    if input.rank == 4 and all(size % out == 0 for size, out in zip(sizes, wanted, strict=True)):
        return _even(net, PoolMethod.AVE, input, wanted)
    for axis, out in zip((input.rank - 2, input.rank - 1), wanted, strict=True):
        size = input.shape[axis]
        if out != size:
            matrix = F.adaptive_avg_pool1d(torch.eye(size, dtype=torch.float64)[None], out)[0].t()
            role = "" if axis == input.rank - 1 else "height"
            layer = AxisMatrix(axis=axis, rows=out)
            input = net.add(layer, input, blobs=[matrix], role=role)
    return input


@handles(F.adaptive_max_pool2d, F.adaptive_max_pool2d_with_indices)
def adaptive_max_pool2d(
    net: Emitter,
    input: Symbol,
    output_size: int | Sequence[int | None],
    return_indices: bool = False,
) -> Symbol:
    sizes = (input.fixed(-2), input.fixed(-1))
    wanted = _output_size(output_size, sizes)
    if return_indices:
        raise Refused("needs return_indices=False, got True")
    if any(size % out for size, out in zip(sizes, wanted, strict=True)):
        raise Refused(f"needs an input size divisible by {wanted}, got {sizes}")
    return _even(net, PoolMethod.MAX, input, wanted)


def _output_size(
    output_size: int | Sequence[int | None], sizes: tuple[int, int]
) -> tuple[int, int]:
    pair = (output_size,) * 2 if isinstance(output_size, int) else tuple(output_size)
    first, second = (size if out is None else out for out, size in zip(pair, sizes, strict=True))
    return first, second


def _even(
    net: Emitter, method: PoolMethod, input: Symbol, wanted: tuple[int, int]
) -> Symbol:
    """Windows that tile the input: a plain Pooling; one window is Caffe's global pooling."""
    if wanted == (1, 1):
        return net.add(Pooling(pool=method, global_pooling=True), input)
    kernel = [input.shape[2] // wanted[0], input.shape[3] // wanted[1]]
    return net.add(pooling(method, kernel, kernel, 0, True), input)
