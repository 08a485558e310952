"""Permute: the axes in another order; for Caffes without it, windows that are moved in front."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from caffe2fx.layers import Deconvolution, Im2col
from caffe2fx.message import Shape
from fx2caffe.emit import Emitter, Refused, Symbol
from fx2caffe.legalize.rules import LayerCall, Tops
from fx2caffe.legalize.wide import Wide
from fx2caffe.reshaping import reshaped, reshaped_source

Runs = Sequence[Sequence[int]]  # of axes


@dataclass(frozen=True, kw_only=True)
class Permute(Wide):
    """Axis i of the top is axis `order[i]` of the bottom."""

    type = "Permute"

    order: Shape

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return (tuple(bottoms[0][axis] for axis in self.order),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (bottoms[0].permute(self.order),)


def by_swaps(net: Emitter, call: LayerCall[Permute]) -> Tops:
    """Each swap a copy without weights."""
    bottoms = call.bottoms
    (source,) = bottoms
    return swap_by_swap(
        net,
        call.layer,
        source,
        lambda symbol, runs: _swapped(net, symbol, [_Run.of(source, run) for run in runs]),
    )


def swap_by_swap(
    net: Emitter, layer: Permute, source: Symbol, swap: Callable[[Symbol, Runs], Symbol]
) -> Tops:
    """One swap of two neighbouring runs of axes after the other.

    `swap` does it in memory: of the four runs that make up all axes it swaps the inner two.
    """
    symbol = source
    # Axes of size 1 have no place in memory.
    order = [axis for axis in layer.order if (source.shape[axis], source.other[axis]) != (1, 1)]
    axes = sorted(order)
    while axes != order:
        first, middle, last = _next_swap(axes, order)
        runs = axes[:first], axes[first:middle], axes[middle:last], axes[last:]
        symbol = swap(symbol, runs)
        axes = [*runs[0], *runs[2], *runs[1], *runs[3]]
    shape, other = (layer.top_shapes([sizes], 1)[0] for sizes in (source.shape, source.other))
    return (reshaped(net, symbol, shape, other),)


def _next_swap(axes: Sequence[int], order: Sequence[int]) -> tuple[int, int, int]:
    """Edges of the two runs of `axes` to swap so that a longer head of it is as in `order`."""
    first = next(i for i, axis in enumerate(axes) if axis != order[i])
    middle = axes.index(order[first])
    last = middle + 1
    while last < len(axes) and axes[last] == order[first + last - middle]:
        last += 1
    return first, middle, last


@dataclass(frozen=True)
class _Run:
    """Several axes seen as one: its size for the example's batch and for the other."""

    size: int
    other: int

    @classmethod
    def of(cls, symbol: Symbol, axes: Sequence[int]) -> _Run:
        return cls(prod(symbol.shape[a] for a in axes), prod(symbol.other[a] for a in axes))

    @property
    def is_fixed(self) -> bool:
        return self.size == self.other


def _swapped(net: Emitter, symbol: Symbol, runs: Sequence[_Run]) -> Symbol:
    """(outer, a, b, inner) to (outer, b, a, inner), in whatever shape the next layer takes.

    Im2col moves its windows in front of where they were, so windows of b rows, one below the
    other, do it. Where b is the batch, a Deconvolution moves the a channels behind it.
    """
    outer, a, b, inner = runs
    if b.is_fixed:
        shape = (outer.size, 1, a.size * b.size, inner.size)
        other = (outer.other, 1, a.other * b.other, inner.other)
        image = reshaped_source(net, symbol, shape, other, role="image")
        layer = Im2col(kernel_h=b.size, kernel_w=1, stride_h=b.size, stride_w=1)
        return net.add(layer, image, role="swap")
    if not a.is_fixed:
        raise Refused("needs one axis at most that follows the batch in a permutation, got two")
    shape = (outer.size, a.size, b.size, inner.size)
    other = (outer.other, a.size, b.other, inner.other)
    image = reshaped_source(net, symbol, shape, other, role="image")
    deconvolution = Deconvolution(
        num_output=1, bias_term=False, kernel_h=a.size, kernel_w=1, stride_h=a.size, stride_w=1
    )
    ones = torch.eye(a.size).reshape(a.size, 1, a.size, 1)
    return net.add(deconvolution, image, blobs=[ones], role="swap")
