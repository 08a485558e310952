"""Convolutions of 1 to 3 spatial axes, transposed ones, fold."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe2fx.layers import Convolution, Deconvolution
from caffe2fx.messages.message import Shape
from fx2caffe.ir.constants import as_symbol
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.index_map import PADDING, index_map
from fx2caffe.ir.reshape import viewed
from fx2caffe.ir.symbol import Operand, Symbol
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.arguments import Sizes, per_axis
from fx2caffe.ops.elementwise import add


@handles(F.conv1d, F.conv2d, F.conv3d)
def convolution(
    net: Emitter,
    input: Operand,
    weight: Operand,
    bias: Operand | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Symbol:
    kernel = tuple(weight.shape[2:])
    spread = per_axis(dilation, len(kernel))
    input = as_symbol(net, input, "input")
    batched = _with_batch(net, input, len(kernel))
    pads, weight = _padding(padding, weight, spread)
    if any(before != after for before, after in pads):
        batched, pads = _padded(net, batched, pads), [(0, 0)] * len(kernel)
    layer = Convolution(
        num_output=weight.shape[0],
        kernel_size=tuple(weight.shape[2:]),
        stride=per_axis(stride, len(kernel)),
        pad=tuple(before for before, _ in pads),
        dilation=spread,
        group=groups,
    )
    top = _weighted(net, layer, batched, weight, bias)
    return top if batched.rank == input.rank else _without_batch(net, top)


def _weighted(
    net: Emitter,
    layer: Convolution | Deconvolution,
    input: Symbol,
    weight: Operand,
    bias: Operand | None,
) -> Symbol:
    """Emit the layer with constant weights, or with dynamic ones that the net computes."""
    if not isinstance(weight, Symbol) and not isinstance(bias, Symbol):
        blobs = [weight] if bias is None else [weight, bias]
        return net.add(layer.replace(bias_term=bias is not None), input, blobs=blobs)
    single = layer.replace(bias_term=False)
    if isinstance(weight, Symbol):
        top = net.add(single, input, dynamic=[weight])
    else:
        top = net.add(single, input, blobs=[weight])
    if bias is None:
        return top
    ones = (1,) * (top.rank - 2)
    if isinstance(bias, Symbol):
        return add(net, top, viewed(net, bias, lambda s: (*s, *ones), "bias"))
    return add(net, top, bias.reshape(-1, *ones))


def _padding(
    padding: Sizes | str, weight: Operand, dilation: Shape
) -> tuple[list[tuple[int, int]], Operand]:
    """Return the zeros before and after each axis, and the weight for them.

    torch puts the odd zero of 'same' at the end. A zero before a constant kernel moves the kernel
    one further to the end, so that both sides get the same number of zeros.
    """
    kernel = weight.shape[2:]
    if padding == "valid":
        return [(0, 0)] * len(kernel), weight
    if not isinstance(padding, str):
        return [(pad, pad) for pad in per_axis(padding, len(kernel))], weight
    totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    uneven = [total % 2 for total in totals]
    if not isinstance(weight, Symbol) and all(
        d == 1 for d, odd in zip(dilation, uneven, strict=True) if odd
    ):
        weight = F.pad(weight, [side for odd in reversed(uneven) for side in (odd, 0)])
        sides = [(total + odd) // 2 for total, odd in zip(totals, uneven, strict=True)]
        return [(side, side) for side in sides], weight
    return [(total // 2, total - total // 2) for total in totals], weight


def _padded(net: Emitter, input: Symbol, pads: Sequence[tuple[int, int]]) -> Symbol:
    first = input.rank - len(pads)
    indices = {
        axis: [PADDING] * before + list(range(input.static_size(axis))) + [PADDING] * after
        for axis, (before, after) in enumerate(pads, first)
    }
    return index_map(net, input, indices, suffix="pad")


def _with_batch(net: Emitter, input: Symbol, spatial: int) -> Symbol:
    """Add the batch axis that torch lets a single sample omit."""
    if input.rank == spatial + 2:
        return input
    return viewed(net, input, lambda s: (1, *s), suffix="batch")


def _without_batch(net: Emitter, top: Symbol) -> Symbol:
    return viewed(net, top, lambda s: s[1:], suffix="sample")


@handles(F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
def conv_transpose(
    net: Emitter,
    input: Operand,
    weight: Operand,
    bias: Operand | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Symbol:
    spatial = len(weight.shape) - 2
    extra, spread = per_axis(output_padding, spatial), per_axis(dilation, spatial)
    input = as_symbol(net, input, "input")
    batched = _with_batch(net, input, spatial)
    if any(extra):
        weight, spread = _longer(net, weight, extra, spread)
    layer = Deconvolution(
        num_output=weight.shape[1] * groups,
        kernel_size=tuple(weight.shape[2:]),
        stride=per_axis(stride, spatial),
        pad=per_axis(padding, spatial),
        dilation=spread,
        group=groups,
    )
    top = _weighted(net, layer, batched, weight, bias)
    return top if batched.rank == input.rank else _without_batch(net, top)


def _longer(net: Emitter, weight: Operand, extra: Shape, dilation: Shape) -> tuple[Operand, Shape]:
    """Return the longer kernel of `longer_kernel`, also of a weight that the net computes."""
    if not isinstance(weight, Symbol):
        return longer_kernel(weight, extra, dilation)
    indices = {}
    for axis, (d, more) in enumerate(zip(dilation, extra, strict=True), 2):
        taps = range(weight.static_size(axis))
        dilated = [one for tap in taps for one in (tap, *[PADDING] * (d - 1))]
        indices[axis] = dilated[: len(dilated) - d + 1] + [PADDING] * more
    return index_map(net, weight, indices, suffix="padded"), (1,) * len(extra)


def longer_kernel(weight: Tensor, extra: Shape, dilation: Shape) -> tuple[Tensor, Shape]:
    """Return a longer kernel that gives `extra` more rows at the end, as output_padding does.

    Caffe has no output_padding; zeros at the kernel's end lengthen the output. The dilation becomes
    zeros within the kernel, since the end would otherwise grow by `dilation` rows at a time.
    """
    if not any(extra):
        return weight, dilation
    sizes = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True)]
    longer = [size + more for size, more in zip(sizes, extra, strict=True)]
    result = torch.zeros(*weight.shape[:2], *longer, dtype=weight.dtype)
    inside = [slice(0, size, step) for size, step in zip(sizes, dilation, strict=True)]
    indices = (slice(None), slice(None), *inside)
    result[indices] = weight.detach()
    return result, (1,) * len(extra)


@handles(F.fold)
def fold(
    net: Emitter,
    input: Symbol,
    output_size: Sizes,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Sizes = 0,
    stride: Sizes = 1,
    *,
    out: Expected,
) -> Symbol:
    batched = input if input.rank == 3 else _with_batch(net, input, 1)
    kernel, spread, pad, steps, size = (
        per_axis(value, 2) for value in (kernel_size, dilation, padding, stride, output_size)
    )
    taps = kernel[0] * kernel[1]
    channels = batched.static_size(1) // taps
    sides = zip(size, pad, spread, kernel, strict=True)
    room = [s + 2 * p - (d * (k - 1) + 1) for s, p, d, k in sides]
    count = tuple(r // s + 1 for r, s in zip(room, steps, strict=True))
    image = viewed(net, batched, lambda s: (s[0], channels * taps, *count), suffix="windows")
    weight = torch.eye(taps).reshape(taps, 1, *kernel).repeat(channels, 1, 1, 1)
    left = tuple(r % s for r, s in zip(room, steps, strict=True))
    weight, spread = longer_kernel(weight, left, spread)
    layer = Deconvolution(
        num_output=channels,
        group=channels,
        bias_term=False,
        kernel_size=tuple(weight.shape[2:]),
        stride=steps,
        pad=pad,
        dilation=spread,
    )
    top = net.add(layer, image, blobs=[weight])
    return top if len(out.shape) == 4 else _without_batch(net, top)
