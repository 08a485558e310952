"""Decompositions of Permute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch

from caffe2fx import layers
from caffe2fx.layers import Concat, Convolution, Deconvolution, Im2col, ShuffleChannel, Slice
from caffe2fx.messages.message import Shape
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.gather import DENSE
from fx2caffe.ir.permute import Permute
from fx2caffe.ir.reshape import as_image, lead, reshaped, reshaped_source
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.legalize.rule import LayerCall, Tops

Runs = Sequence[Sequence[int]]  # lists of axes


def by_four_axes(net: Emitter, call: LayerCall[Permute]) -> Tops | None:
    """Permute more axes than a target takes by swaps of two neighbouring runs of them.

    before: Permute{order: 2 0 1 3 4} of (N,L,Q,H,D)
    after:  Reshape (1,NL,Q,HD), Permute{order: 0 2 1 3}, Reshape
    """
    (source,) = call.bottoms
    if source.rank <= 4:
        return None

    def swap(symbol: Symbol, runs: Runs) -> Symbol:
        outer, a, b, inner = (_Run.of(source, run) for run in runs)
        shape = (outer.size, a.size, b.size, inner.size)
        other = (outer.other_shape, a.other_shape, b.other_shape, inner.other_shape)
        image = reshaped_source(net, symbol, shape, other, suffix="four_axes")
        return net.add(layers.Permute(order=(0, 2, 1, 3)), image, suffix="swap")

    return _swap_by_swap(net, call, swap)


def by_swaps(net: Emitter, call: LayerCall[Permute]) -> Tops:
    """Permute by swaps of two axes, each a copy without weights (Im2col)."""
    (source,) = call.bottoms
    return _swap_by_swap(
        net,
        call,
        lambda symbol, runs: _swapped(net, symbol, [_Run.of(source, run) for run in runs]),
    )


def _swap_by_swap(
    net: Emitter, call: LayerCall[Permute], swap: Callable[[Symbol, Runs], Symbol]
) -> Tops:
    """Permute by swapping two neighbouring runs of axes at a time.

    `swap` swaps the inner two of the four runs into which the axes are divided.
    """
    layer, (source,) = call.layer, call.bottoms
    symbol = source
    # Axes of size 1 do not matter to the memory layout.
    order = [
        axis for axis in layer.order if (source.shape[axis], source.other_shape[axis]) != (1, 1)
    ]
    axes = sorted(order)
    while axes != order:
        first, middle, last = _next_swap(axes, order)
        runs = axes[:first], axes[first:middle], axes[middle:last], axes[last:]
        symbol = swap(symbol, runs)
        axes = [*runs[0], *runs[2], *runs[1], *runs[3]]
    shape, other = (layer.top_shapes([sizes], 1)[0] for sizes in (source.shape, source.other_shape))
    return (reshaped(net, symbol, shape, other),)


def _next_swap(axes: Sequence[int], order: Sequence[int]) -> tuple[int, int, int]:
    """Return the edges of the two runs of `axes` to swap, which puts one more run in `order`."""
    first = next(i for i, axis in enumerate(axes) if axis != order[i])
    middle = axes.index(order[first])
    last = middle + 1
    while last < len(axes) and axes[last] == order[first + last - middle]:
        last += 1
    return first, middle, last


@dataclass(frozen=True)
class _Run:
    """Holds several axes merged into one: its size at both batch sizes."""

    size: int
    other_shape: int

    @classmethod
    def of(cls, symbol: Symbol, axes: Sequence[int]) -> _Run:
        return cls(prod(symbol.shape[a] for a in axes), prod(symbol.other_shape[a] for a in axes))

    @property
    def is_fixed(self) -> bool:
        return self.size == self.other_shape


def _swapped(net: Emitter, symbol: Symbol, runs: Sequence[_Run]) -> Symbol:
    """Swap (outer, a, b, inner) to (outer, b, a, inner), in the shape that the next layer takes.

    Im2col moves its windows in front of where they were, so windows of b rows, one below the other,
    do it. Where b is the batch, a Deconvolution moves the a channels behind it.
    """
    outer, a, b, inner = runs
    if b.is_fixed:
        shape = (outer.size, 1, a.size * b.size, inner.size)
        other = (outer.other_shape, 1, a.other_shape * b.other_shape, inner.other_shape)
        image = reshaped_source(net, symbol, shape, other, suffix="image")
        layer = Im2col(kernel_h=b.size, kernel_w=1, stride_h=b.size, stride_w=1)
        return net.add(layer, image, suffix="swap")
    if not a.is_fixed:
        raise Refused("needs one axis at most that follows the batch in a permutation, got two")
    shape = (outer.size, a.size, b.size, inner.size)
    other = (outer.other_shape, a.size, b.other_shape, inner.other_shape)
    image = reshaped_source(net, symbol, shape, other, suffix="image")
    deconvolution = Deconvolution(
        num_output=1, bias_term=False, kernel_h=a.size, kernel_w=1, stride_h=a.size, stride_w=1
    )
    ones = torch.eye(a.size).reshape(a.size, 1, a.size, 1)
    return net.add(deconvolution, image, blobs=[ones], suffix="swap")


def by_filters(net: Emitter, call: LayerCall[Permute]) -> Tops:
    """Permute by swaps of two axes, each by one-hot filters, for which the batch stays in front."""
    (source,) = call.bottoms
    if lead(source) and call.layer.order[0] != 0:
        raise Refused(f"needs the batch to stay axis 0, got order {call.layer.order}")
    return _swap_by_swap(
        net,
        call,
        lambda symbol, runs: _swapped_by_filter(net, symbol, [_size(source, run) for run in runs]),
    )


def _size(source: Symbol, axes: Sequence[int]) -> int:
    """Return the size of a run of axes, without the batch, which stays in front."""
    return prod(source.static_size(axis) for axis in axes if axis >= lead(source))


def _swapped_by_filter(net: Emitter, symbol: Symbol, sizes: Sequence[int]) -> Symbol:
    """Swap (outer, a, b, inner) to (outer, b, a, inner), by filters as long as the shorter axis."""
    outer, a, b, inner = sizes
    side = min(a, b)
    if outer * side * side > DENSE:
        raise Refused(f"needs a filter of at most {DENSE} elements, got {outer * side * side}")
    weight = torch.eye(side).repeat(outer, 1).reshape(outer * side, 1, side, 1)
    window: dict[str, Any] = {"kernel_h": side, "kernel_w": 1, "stride_h": side, "stride_w": 1}
    if a <= b:
        image = as_image(net, symbol, (outer * a, b, inner))
        behind = Deconvolution(num_output=outer, group=outer, bias_term=False, **window)
        return net.add(behind, image, blobs=[weight], suffix="swap")
    image = as_image(net, symbol, (outer, a * b, inner))
    forward = Convolution(num_output=outer * b, group=outer, bias_term=False, **window)
    return net.add(forward, image, blobs=[weight], suffix="swap")


SHORT = 4096  # elements; no target limits a side to less


def in_halves(net: Emitter, call: LayerCall[Permute]) -> Tops | None:
    """Permute halves of the longest axis, so that a swap merges axes to a side half as long.

    before: Permute
    after:  Slice of the longest axis, a Permute of each half, Concat
    """
    layer, bottoms = call.layer, call.bottoms
    (source,) = bottoms
    pairs = zip(source.shape, source.other_shape, strict=True)
    sizes = [one if one == two else 1 for one, two in pairs]
    if prod(sizes) <= SHORT:
        return None
    longest = sizes.index(max(sizes))
    half = Slice(axis=longest, slice_point=(sizes[longest] // 2,))
    parts = net.add_many(half, source, tops=2, suffix="halves")
    moved = [net.add(layer, part, suffix=f"half{index}") for index, part in enumerate(parts)]
    return (net.add(Concat(axis=layer.order.index(longest)), *moved),)


def shuffle_channel(net: Emitter, call: LayerCall[Permute]) -> Tops:
    """Exchange groups and channels by a ShuffleChannel.

    before: Permute{order: 0 2 1 3 4} of (N,g,C/g,H,W)     after: ShuffleChannel{group: g}
    """
    layer, bottom = call.layer, call.bottom
    if bottom.rank < 4 or layer.order != (0, 2, 1, *range(3, bottom.rank)):
        raise Refused("needs the two axes behind the batch swapped")
    shape, other = (_joined_channels(sizes) for sizes in (bottom.shape, bottom.other_shape))
    joined = reshaped_source(net, bottom, shape, other, suffix="channels")
    made = net.add(ShuffleChannel(group=bottom.static_size(1)), joined, suffix="shuffle")
    top, second = (layer.top_shapes([sizes], 1)[0] for sizes in (bottom.shape, bottom.other_shape))
    return (reshaped_source(net, made, top, second),)


def _joined_channels(shape: Shape) -> Shape:
    return (shape[0], shape[1] * shape[2], shape[3], prod(shape[4:]))


def permute(net: Emitter, call: LayerCall[Permute]) -> Tops:
    """Emit the Permute layer of Caffe's forks."""
    return (net.add(layers.Permute(order=call.layer.order), call.bottom),)
