"""Poolings over one to three axes; Caffe's has two axes, and other edges than torch's."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import Parameter, Signature, signature
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe2fx import compat
from caffe2fx.layers import Pooling, PoolMethod, Power, RoundMode, Scale
from caffe2fx.messages.message import Shape
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.index_map import index_map
from fx2caffe.ir.reshape import viewed
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.ir.unpooling import note_indices
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.arguments import Sizes, per_axis
from fx2caffe.ops.pooling_windows import Windows, adaptive_windows, bins
from fx2caffe.ops.resize import along

AVERAGES: dict[int, Any] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def pooling(method: PoolMethod, windows: Windows) -> Pooling:
    """Return the Pooling record of windows over two axes."""
    return Pooling(
        pool=method,
        kernel_h=windows.kernel[0],
        kernel_w=windows.kernel[1],
        stride_h=windows.stride[0],
        stride_w=windows.stride[1],
        pad_h=windows.pad[0],
        pad_w=windows.pad[1],
        round_mode=RoundMode.CEIL if windows.ceil else RoundMode.FLOOR,
    )


def _with_indices(pool: Any) -> Any:
    """Wrap `pool` as torch's form that always returns indices, emitted only if they are read."""

    def both(net: Emitter, *args: Any, out: Expected, **kwargs: Any) -> Any:
        bound = signature(pool).bind(net, *args, **kwargs)
        bound.arguments["return_indices"] = 1 in out.read
        found = pool(*bound.args, **bound.kwargs)
        return found if 1 in out.read else (found, None)

    last = Parameter("out", Parameter.KEYWORD_ONLY, annotation=Expected)
    parameters = [*signature(pool).parameters.values(), last]
    both.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return both


def _max_pool(axes: int) -> Any:
    def max_pool(
        net: Emitter,
        input: Symbol,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Symbol | tuple[Symbol, ...]:
        windows = Windows.of(axes, kernel_size, stride, padding, dilation, ceil_mode)
        if any(step != 1 for step in windows.dilation):
            if return_indices:
                raise Refused(f"needs dilation 1 for its indices, got {dilation}")
            taps = [windows.taps(a, input.static_size(a - axes)) for a in range(axes)]
            return _maximum_of(net, input, taps)
        return _only(_pooled(net, PoolMethod.MAX, input, windows, tops=1 + return_indices))

    return max_pool


handles(F.max_pool1d)(_max_pool(1))
handles(F.max_pool1d_with_indices)(_with_indices(_max_pool(1)))
handles(F.max_pool2d)(_max_pool(2))
handles(F.max_pool2d_with_indices)(_with_indices(_max_pool(2)))
handles(F.max_pool3d)(_max_pool(3))
handles(F.max_pool3d_with_indices)(_with_indices(_max_pool(3)))


def _maximum_of(net: Emitter, input: Symbol, taps: Sequence[Sequence[Sequence[int]]]) -> Symbol:
    """Take the maximum over given indices of each axis: gather them side by side, then pool."""
    first = input.rank - len(taps)
    indices = {axis: [p for window in one for p in window] for axis, one in enumerate(taps, first)}
    spread = index_map(net, input, indices, suffix="taps")
    kernel = [len(one[0]) for one in taps]
    windows = Windows.of(len(taps), kernel, kernel, 0, 1, False)
    return _pooled(net, PoolMethod.MAX, spread, windows)[0]


def _pooled(
    net: Emitter, method: PoolMethod, input: Symbol, windows: Windows, tops: int = 1
) -> tuple[Symbol, ...]:
    """Pool over the last axes, three axes as two and then one; return the tops."""
    axes = len(windows.kernel)
    sizes = [input.static_size(axis) for axis in range(input.rank - axes, input.rank)]
    counts = tuple(windows.count(axis, size) for axis, size in enumerate(sizes))
    if axes == 3:
        if tops > 1:
            raise Refused("needs return_indices=False in three dimensions, got True")
        return (_in_two(net, method, input, windows, counts),)
    pair = windows if axes == 2 else windows.with_axis_before()
    image = as_image(net, input, axes)
    trimmed = _trimmed(net, method, image, pair, tops)
    made = net.add_many(pooling(method, pair), trimmed, tops=tops)
    note_indices(net, pooling(method, pair), image, made)
    lead = input.rank - axes
    return tuple(viewed(net, top, lambda s: (*s[2 - lead : 2], *counts)) for top in made)


def _only(tops: tuple[Symbol, ...]) -> Symbol | tuple[Symbol, ...]:
    """Return the one tensor alone, or all as a tuple, as torch does."""
    return tops if len(tops) > 1 else tops[0]


def as_image(net: Emitter, input: Symbol, axes: int) -> Symbol:
    """Reshape an input of one or two spatial axes, with or without a batch, to (N, C, H, W)."""
    if input.rank == 4 and axes == 2:
        return input
    lead = input.rank - axes
    before, between = (1,) * (2 - lead), (1,) * (2 - axes)
    return viewed(net, input, lambda s: (*before, *s[:lead], *between, *s[lead:]), suffix="image")


def _trimmed(
    net: Emitter, method: PoolMethod, image: Symbol, windows: Windows, tops: int
) -> Symbol:
    """Crop the image to the rows and columns that windows read.

    Where the kernel is smaller than the stride and nothing is padded, Caffe has windows that lie
    wholly outside; torch drops them.
    """
    if any(windows.pad) or (method is PoolMethod.MAX and not windows.ceil):
        return image
    ends = {
        axis: (windows.count(axis - 2, image.static_size(axis)) - 1) * stride + kernel
        for axis, (kernel, stride) in enumerate(zip(windows.kernel, windows.stride, strict=True), 2)
        if kernel < stride
    }
    indices = {axis: range(min(end, image.shape[axis])) for axis, end in ends.items()}
    trimmed = index_map(net, image, indices, suffix="read")
    if tops > 1 and trimmed is not image:
        raise Refused("needs stride <= kernel in ceil mode for its indices")
    return trimmed


def _in_two(
    net: Emitter, method: PoolMethod, input: Symbol, windows: Windows, counts: Shape
) -> Symbol:
    """Pool (.., D, H, W) over H and W with D among the channels, then over D."""
    batch = viewed(net, input, lambda s: (*(1,) * (5 - len(s)), *s), suffix="batch")
    channels, depth = batch.static_size(1), batch.static_size(2)
    planes = viewed(net, batch, lambda s: (s[0], s[1] * s[2], *s[3:]), suffix="planes")
    flat = _pooled(net, method, planes, windows.only(1, 2))[0]
    area = counts[1] * counts[2]
    columns = viewed(net, flat, lambda s: (s[0], channels, depth, area), suffix="columns")
    made = _pooled(net, method, columns, windows.only(0).with_axis_after())[0]
    lead = input.rank - 3
    return viewed(net, made, lambda s: (*s[2 - lead : 2], *counts))


def _avg_pool(axes: int) -> Any:
    def avg_pool(
        net: Emitter,
        input: Symbol,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Symbol:
        windows = Windows.of(axes, kernel_size, stride, padding, 1, ceil_mode)
        extra = () if axes == 1 else (divisor_override,)
        ones = torch.ones(
            1, 1, *(input.static_size(a - axes) for a in range(axes)), dtype=torch.float64
        )
        wanted = AVERAGES[axes](ones, *windows.arguments, count_include_pad, *extra)
        mean = _pooled(net, PoolMethod.AVE, input, windows)[0]
        return _rescaled(net, mean, ones, windows, wanted)

    return avg_pool


handles(F.avg_pool1d)(_avg_pool(1))
handles(F.avg_pool2d)(_avg_pool(2))
handles(F.avg_pool3d)(_avg_pool(3))


def _rescaled(net: Emitter, mean: Symbol, ones: Tensor, windows: Windows, wanted: Tensor) -> Symbol:
    """Multiply Caffe's mean by its divisor (the window with its pad) over torch's."""
    covered = _mean_in_caffe(ones, windows)
    factor = (wanted / covered)[0, 0]
    if bool(((factor - 1).abs() < 1e-12).all()):
        return mean
    if bool(((factor / factor.flatten()[0] - 1).abs() < 1e-12).all()):
        return net.add(Power(scale=float(factor.flatten()[0])), mean, suffix="divisor")
    axes = factor.dim()
    layer = Scale(axis=mean.rank - axes, num_axes=axes)
    return net.add(layer, mean, blobs=[factor], suffix="divisor")


def _mean_in_caffe(ones: Tensor, windows: Windows) -> Tensor:
    """Return Caffe's average pooling of ones, computed axis by axis."""
    result = torch.ones(1, 1, dtype=torch.float64)
    for axis, size in enumerate(ones.shape[2:]):
        line = pooling(PoolMethod.AVE, windows.only(axis).with_axis_after())
        one = line.compute([torch.ones(1, 1, size, 1, dtype=torch.float64)], [], 1)[0]
        result = result[..., None] * one[0, 0, : windows.count(axis, size), 0]
    return result


def _adaptive_avg(axes: int) -> Any:
    def adaptive_avg_pool(
        net: Emitter, input: Symbol, output_size: int | Sequence[int | None]
    ) -> Symbol:
        return adaptive_average(net, input, _output_sizes(input, output_size, axes))

    return adaptive_avg_pool


handles(F.adaptive_avg_pool1d)(_adaptive_avg(1))
handles(F.adaptive_avg_pool2d)(_adaptive_avg(2))
handles(F.adaptive_avg_pool3d)(_adaptive_avg(3))


def adaptive_average(net: Emitter, input: Symbol, wanted: Shape) -> Symbol:
    """Average by windows that tile the axes if they do, else by one matrix per axis."""
    first = input.rank - len(wanted)
    sizes = [input.static_size(axis) for axis in range(first, input.rank)]
    if all(size % out == 0 for size, out in zip(sizes, wanted, strict=True)):
        return _tiled(net, PoolMethod.AVE, input, wanted)[0]
    for axis, out in enumerate(wanted, first):
        if out != input.shape[axis]:
            basis = torch.eye(input.shape[axis], dtype=torch.float64)[None]
            input = along(net, input, axis, F.adaptive_avg_pool1d(basis, out)[0].t())
    return input


def _adaptive_max(axes: int) -> Any:
    def adaptive_max_pool(
        net: Emitter,
        input: Symbol,
        output_size: int | Sequence[int | None],
        return_indices: bool = False,
    ) -> Symbol | tuple[Symbol, ...]:
        wanted = _output_sizes(input, output_size, axes)
        sizes = [input.static_size(axis) for axis in range(input.rank - axes, input.rank)]
        if all(size % out == 0 for size, out in zip(sizes, wanted, strict=True)):
            return _only(_tiled(net, PoolMethod.MAX, input, wanted, 1 + return_indices))
        if return_indices:
            raise Refused(f"needs an input size divisible by {wanted} for indices, got {sizes}")
        taps = [bins(size, out) for size, out in zip(sizes, wanted, strict=True)]
        return _maximum_of(net, input, taps)

    return adaptive_max_pool


handles(F.adaptive_max_pool1d)(_adaptive_max(1))
handles(F.adaptive_max_pool1d_with_indices)(_with_indices(_adaptive_max(1)))
handles(F.adaptive_max_pool2d)(_adaptive_max(2))
handles(F.adaptive_max_pool2d_with_indices)(_with_indices(_adaptive_max(2)))
handles(F.adaptive_max_pool3d)(_adaptive_max(3))
handles(F.adaptive_max_pool3d_with_indices)(_with_indices(_adaptive_max(3)))


def _output_sizes(input: Symbol, output_size: int | Sequence[int | None], axes: int) -> Shape:
    sizes = [input.static_size(axis) for axis in range(input.rank - axes, input.rank)]
    given = (output_size,) * axes if isinstance(output_size, int) else tuple(output_size)
    return tuple(size if out is None else out for out, size in zip(given, sizes, strict=True))


def _tiled(
    net: Emitter, method: PoolMethod, input: Symbol, wanted: Shape, tops: int = 1
) -> tuple[Symbol, ...]:
    """Pool by windows that tile the input; one window over an image is Caffe's global pooling."""
    if wanted == (1, 1) and input.rank == 4:
        layer = Pooling(pool=method, global_pooling=True)
        made = net.add_many(layer, input, tops=tops)
        note_indices(net, layer, input, made)
        return made
    return _pooled(net, method, input, adaptive_windows(input.shape, wanted), tops)


def _lp_pool(axes: int) -> Any:
    def lp_pool(
        net: Emitter,
        input: Symbol,
        norm_type: float,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        ceil_mode: bool = False,
    ) -> Symbol:
        """Compute the root of the mean of powers, times the elements of a whole window."""
        powers = net.add(Power(power=norm_type), input, suffix="powers")
        mean = _avg_pool(axes)(net, powers, kernel_size, stride, 0, ceil_mode)
        return net.add(Power(power=1 / norm_type, scale=prod(per_axis(kernel_size, axes))), mean)

    return lp_pool


handles(F.lp_pool1d)(_lp_pool(1))
handles(F.lp_pool2d)(_lp_pool(2))
handles(compat.LP_POOL3D)(_lp_pool(3))
