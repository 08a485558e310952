"""torchvision's operators: pooled regions of an image, and deformable convolution.

They are registered by name, so that torchvision need not be installed.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from caffe2fx.layers import Concat, Convolution, Pooling, PoolMethod, ReLU, Scale, Slice
from caffe2fx.messages.message import Shape
from fx2caffe.ir.axis_matrix import AxisMatrix
from fx2caffe.ir.constants import as_symbol
from fx2caffe.ir.data_movement import rearrange
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.reshape import viewed
from fx2caffe.ir.symbol import Operand, Refused, Symbol
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.arguments import constant
from fx2caffe.ops.blocks import above, affine, clipped, difference, inside, weighted_sum
from fx2caffe.ops.regions import averaged, fits, largest_in, own_channels
from fx2caffe.ops.sampling import Edge, Tap, linear, linear_taps, looked_up, table_of


@handles("torchvision.roi_align")
def roi_align(
    net: Emitter,
    input: Operand,
    rois: Operand,
    spatial_scale: float,
    pooled_height: int,
    pooled_width: int,
    sampling_ratio: int,
    aligned: bool = False,
) -> Symbol:
    """Average `sampling_ratio` bilinear samples per bin and axis.

    Without that ratio torchvision takes more samples in larger regions; for constant boxes their
    count is known.
    """
    pooled = (pooled_height, pooled_width)
    source = as_symbol(net, input, suffix="input")
    if isinstance(rois, Tensor) and (sampling_ratio < 1 or fits(source, rois, pooled)):
        align = torch.ops.torchvision.roi_align
        options = (spatial_scale, *pooled, sampling_ratio, aligned)
        return averaged(net, source, rois, pooled, lambda x, r: align(x, r, *options), 1)
    if sampling_ratio < 1:
        raise Refused(
            f"needs a sampling_ratio of 1 or more where its boxes depend on the input, "
            f"got {sampling_ratio}"
        )
    image = table_of(net, source, padded=False)
    boxes = as_symbol(net, rois, suffix="rois")
    counts = [size * sampling_ratio for size in pooled]
    axes = [
        _axis_taps(net, boxes, axis, (spatial_scale, aligned), counts[axis], image.sizes[axis])
        for axis in (0, 1)
    ]
    grids = [_over_grid(net, taps, axis, counts) for axis, taps in enumerate(axes)]
    starts = _spread(net, _column(net, boxes, 0), 2, counts, prod(image.sizes))
    rows = looked_up(net, image, grids, starts)
    points = viewed(net, rows, lambda s: (s[0] // prod(counts), *counts, s[1]), suffix="indices")
    planes = rearrange(net, points, lambda x: x.movedim(-1, 1))
    if sampling_ratio == 1:
        return planes
    layer = Pooling(pool=PoolMethod.AVE, kernel_size=sampling_ratio, stride=sampling_ratio)
    return net.add(layer, planes)


@handles("torchvision.ps_roi_align")
def ps_roi_align(
    net: Emitter,
    input: Operand,
    rois: Operand,
    spatial_scale: float,
    pooled_height: int,
    pooled_width: int,
    sampling_ratio: int,
    *,
    out: Expected,
) -> tuple[Symbol, None]:
    """Apply roi_align to all channels, then select for each bin its own channels."""
    pooled = (pooled_height, pooled_width)
    _refuse_second(out)
    every = inside(
        net, "every", roi_align, input, rois, spatial_scale, *pooled, sampling_ratio, True
    )
    return own_channels(net, every, pooled), None


@handles("torchvision.ps_roi_pool")
def ps_roi_pool(
    net: Emitter,
    input: Operand,
    rois: Operand,
    spatial_scale: float,
    pooled_height: int,
    pooled_width: int,
    *,
    out: Expected,
) -> tuple[Symbol, None]:
    """Average the bins of constant boxes, each bin in its own channels."""
    pooled = (pooled_height, pooled_width)
    boxes = _constant_boxes(rois, "ps_roi_align")
    _refuse_second(out)
    pool, source = torch.ops.torchvision.ps_roi_pool, as_symbol(net, input, suffix="input")
    every = averaged(
        net, source, boxes, pooled, lambda x, r: pool(x, r, spatial_scale, *pooled), prod(pooled)
    )
    return own_channels(net, every, pooled), None


@handles("torchvision.roi_pool")
def roi_pool(
    net: Emitter,
    input: Operand,
    rois: Operand,
    spatial_scale: float,
    pooled_height: int,
    pooled_width: int,
    *,
    out: Expected,
) -> tuple[Symbol, None]:
    """Take the maxima of the bins of constant boxes."""
    pooled = (pooled_height, pooled_width)
    boxes = _constant_boxes(rois, "roi_align")
    _refuse_second(out)
    pool, source = torch.ops.torchvision.roi_pool, as_symbol(net, input, suffix="input")
    return largest_in(
        net, source, boxes, pooled, lambda x, r: pool(x, r, spatial_scale, *pooled)
    ), None


def _constant_boxes(rois: Operand, instead: str) -> Tensor:
    if isinstance(rois, Symbol):
        raise Refused(
            "needs constant boxes, since Caffe's windows are fixed, got some that depend on the "
            f"input: {instead} with a sampling_ratio takes those"
        )
    return rois


def _refuse_second(out: Expected) -> None:
    if 1 in out.read:
        raise Refused("needs the regions alone to be read, got a reader of where they come from")


def _column(net: Emitter, boxes: Symbol, index: int) -> Symbol:
    return rearrange(net, boxes, lambda x: x[:, index : index + 1])


def _axis_taps(
    net: Emitter, boxes: Symbol, axis: int, geometry: tuple[float, bool], count: int, size: int
) -> list[Tap]:
    """Return the taps (regions, count) of the samples on one axis, without weight off the image."""
    scale, aligned = geometry
    shift = -0.5 if aligned else 0.0
    start, end = (
        affine(net, _column(net, boxes, column), scale, shift, suffix="edge")
        for column in (2 - axis, 4 - axis)
    )
    length = difference(net, end, start, "length")
    if not aligned:
        length = clipped(net, length, 1, None, "at_least_1")
    both = net.add(Concat(axis=1), start, length, suffix="start_length")
    parts = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    matrix = torch.stack([torch.ones_like(parts), parts], 1)
    steps = net.add(AxisMatrix(axis=1, rows=count), both, blobs=[matrix], suffix="steps")
    bound = clipped(net, steps, 0, size - 1, "bound")
    taps = linear_taps(net, bound, lambda low, k: _next(net, low, size) if k else low)
    return _on_image(net, taps, steps, size)


def _next(net: Emitter, low: Symbol, size: int) -> Symbol:
    return clipped(net, affine(net, low, 1, 1, "next"), None, size - 1, "clipped")


def _on_image(net: Emitter, taps: list[Tap], steps: Symbol, size: int) -> list[Tap]:
    """Set weights to 0 where a coordinate is more than 1 off the image.

    It is relu(weight - off), where off is 1 before -1 or behind the end. A blob of `off` alone
    would be 0 for regions within the image and prove nothing, so other comparisons are made with
    it.
    """
    line = viewed(net, steps, _as_image, suffix="flat")
    signs = torch.tensor([-1.0, 1, 1, 1, 1]).reshape(5, 1, 1, 1)
    bounds = torch.tensor([1.0, size, size / 4, size / 2, size * 3 / 4])
    layer = Convolution(num_output=5, kernel_size=(1,))
    beyond = net.add(layer, line, blobs=[signs, -bounds], suffix="overhang")
    weights = [
        viewed(net, tap.weight, _as_image, suffix="weight")
        for tap in taps
        if tap.weight is not None
    ]
    joined = net.add(Concat(axis=1), above(net, beyond, 0, "is_beyond"), *weights, suffix="joined")
    kept = torch.tensor([[-1.0, -1, 0, 0, 0, 1, 0], [-1, -1, 0, 0, 0, 0, 1]]).reshape(2, 7, 1, 1)
    less = Convolution(num_output=2, kernel_size=(1,), bias_term=False)
    shares = net.add(
        ReLU(), net.add(less, joined, blobs=[kept], suffix="remainder"), suffix="shares"
    )
    parts = net.add_many(Slice(axis=1), shares, suffix="parts", tops=2)
    return [
        Tap(tap.position, viewed(net, part, lambda s: (s[0], s[3]), suffix="share"))
        for tap, part in zip(taps, parts, strict=True)
    ]


def _as_image(shape: Shape) -> Shape:
    return (shape[0], 1, 1, shape[1])


def _over_grid(net: Emitter, taps: list[Tap], axis: int, counts: list[int]) -> list[Tap]:
    """Repeat the taps of one axis along the other: one for each sample of each region."""
    return [
        Tap(_spread(net, tap.position, axis, counts), _spread(net, tap.weight, axis, counts))
        for tap in taps
        if tap.weight is not None
    ]


def _spread(net: Emitter, line: Symbol, axis: int, counts: list[int], factor: float = 1) -> Symbol:
    """Repeat (regions, count) to one element per sample, flattened, times a factor."""
    view = [counts[a] if a == axis else 1 for a in (0, 1)]
    separated = viewed(net, line, lambda s: (s[0], *view), suffix="unsqueezed")
    grid = rearrange(net, separated, lambda x: x.expand(-1, *counts))
    scaled = grid if factor == 1 else affine(net, grid, factor, suffix="scaled")
    return viewed(net, scaled, lambda s: (prod(s),), suffix="flat")


@handles("torchvision.deform_conv2d")
def deform_conv2d(
    net: Emitter,
    input: Operand,
    weight: Operand,
    offset: Operand,
    mask: Operand,
    bias: Operand,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    groups: int,
    offset_groups: int,
    use_mask: bool,
) -> Symbol:
    """Sample each kernel tap bilinearly at its offset, then convolve 1x1 over taps x channels."""
    kernel = constant("weight", weight)
    source = as_symbol(net, input, suffix="input")
    moves = as_symbol(net, offset, suffix="offset")
    pairs = list(zip((stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w), strict=True))
    width = source.static_size(1) // offset_groups
    columns = []
    for group in range(offset_groups):
        part = rearrange(net, source, lambda x, g=group: x[:, g * width : (g + 1) * width])  # type: ignore[misc]
        taps = _kernel_taps(net, moves, group, kernel, pairs, part.shape[2:])
        columns.append(_columns(net, part, taps, moves, (mask if use_mask else None, group)))
    joined = columns[0]
    if len(columns) > 1:
        joined = net.add(Concat(axis=1), *columns, suffix="columns")
    blobs = [kernel.reshape(len(kernel), -1, 1, 1), constant("bias", bias)]
    layer = Convolution(num_output=len(kernel), kernel_size=(1,), group=groups)
    return net.add(layer, joined, blobs=blobs)


def _kernel_taps(
    net: Emitter,
    moves: Symbol,
    group: int,
    kernel: Tensor,
    pairs: list[tuple[int, int, int]],
    sizes: tuple[int, ...],
) -> list[list[Tap]]:
    """Return, for each axis, the two taps around each of (samples, taps, pixels), flattened."""
    count = prod(kernel.shape[2:])
    out = moves.shape[2:]
    taps = torch.cartesian_prod(*(torch.arange(size) for size in kernel.shape[2:]))
    positions = torch.cartesian_prod(*(torch.arange(size) for size in out))
    found = []
    for axis, (stride, pad, dilation) in enumerate(pairs):
        first = group * 2 * count + axis
        own = rearrange(net, moves, lambda x, f=first: x[:, f : f + 2 * count : 2])  # type: ignore[misc]
        flat = viewed(net, own, lambda s: (s[0], count, prod(out)), suffix="flat")
        still = taps[:, None, axis] * dilation + positions[None, :, axis] * stride - pad
        steps = weighted_sum(net, flat, still, suffix="steps")
        line = viewed(net, steps, lambda s: (prod(s),), suffix="flat")
        found.append(linear(net, line, Edge("zeros", sizes[axis], False)))
    return found


def _columns(
    net: Emitter,
    part: Symbol,
    taps: list[list[Tap]],
    moves: Symbol,
    masked: tuple[Operand | None, int],
) -> Symbol:
    """Return the sampled images as (samples, channels * taps, height, width)."""
    image, out = table_of(net, part, padded=True), moves.shape[2:]
    each = taps[0][0].position.shape[0] // image.samples
    starts = torch.arange(image.samples).repeat_interleave(each) * prod(image.sizes)
    rows = looked_up(net, image, taps, starts)
    count = each // prod(out)
    mask, group = masked
    if mask is not None:
        factor = as_symbol(net, mask, suffix="mask")
        own = rearrange(net, factor, lambda x: x[:, group * count : (group + 1) * count])
        line = viewed(net, own, lambda s: (prod(s),), suffix="mask_line")
        rows = net.add(Scale(axis=0), rows, line, suffix="masked")
    separated = viewed(
        net, rows, lambda s: (image.samples, count, prod(out), s[1]), suffix="unsqueezed"
    )
    channels = rearrange(net, separated, lambda x: x.permute(0, 3, 1, 2))
    return viewed(net, channels, lambda s: (s[0], s[1] * s[2], *out), suffix="columns")
