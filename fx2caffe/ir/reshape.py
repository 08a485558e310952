"""Reshapes that keep the batch size out of the net, as far as Caffe's Reshape can express that."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import prod

from caffe2fx.layers import Flatten, Reshape
from caffe2fx.messages.message import Shape
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Symbol


def reshaped(net: Emitter, input: Symbol, shape: Shape, other: Shape, suffix: str = "") -> Symbol:
    """Reshape `input` (`other` is for the other batch size); batch axes are copied or inferred."""
    if len(shape) != len(other):
        # After squeeze() of a batch of one, another batch size gives another rank.
        net.fix_batch(f"{net.scope[0]} gives {shape}, and {other} for another batch")
    if shape == input.shape and other == input.other_shape:
        return input
    merged = _merged_axes(input, shape, other)
    if merged is not None:
        return net.add(Flatten(axis=merged[0], end_axis=merged[1]), input, suffix=suffix)
    return by_reshape(net, input, shape, other, suffix)


def by_reshape(net: Emitter, input: Symbol, shape: Shape, other: Shape, suffix: str = "") -> Symbol:
    """Reshape `input` by a Reshape layer, even where Flatten would do."""
    return net.add(Reshape(shape=_dims(input, shape, other)), input, suffix=suffix)


def viewed(net: Emitter, input: Symbol, view: Callable[[Shape], Shape], suffix: str = "") -> Symbol:
    """Reshape `input` to the shape that `view` returns for its shape, at both batch sizes."""
    return reshaped(net, input, view(input.shape), view(input.other_shape), suffix)


def reshaped_source(
    net: Emitter, input: Symbol, shape: Shape, other: Shape, suffix: str = ""
) -> Symbol:
    """Like `reshaped`, but reshape the earliest source from which Caffe can express the shape."""
    if len(shape) != len(other):
        return reshaped(net, input, shape, other, suffix=suffix)
    source = best = input
    while source.value in net.reshape_sources and (source.shape, source.other_shape) != (
        shape,
        other,
    ):
        source = net.reshape_sources[source.value]
        best = source if _keeps_batch_free(source, shape, other) else best
    return reshaped(net, best, shape, other, suffix=suffix)


def _keeps_batch_free(input: Symbol, shape: Shape, other: Shape) -> bool:
    if (shape, other) == (input.shape, input.other_shape):
        return True
    dims = zip(_dims(input, shape, other), shape, other, strict=True)
    return all(dim in (0, -1) or size == second for dim, size, second in dims)


def _merged_axes(input: Symbol, shape: Shape, other: Shape) -> tuple[int, int] | None:
    """Return the first and last of the consecutive axes that are merged, None if more changes."""
    gone = input.rank - len(shape)
    if gone < 1:
        return None
    for first in range(len(shape)):
        last = first + gone
        kept = input.shape[:first], input.shape[last + 1 :]
        if (*kept[0], prod(input.shape[first : last + 1]), *kept[1]) == shape and (
            *input.other_shape[:first],
            prod(input.other_shape[first : last + 1]),
            *input.other_shape[last + 1 :],
        ) == other:
            return first, (-1 if last == input.rank - 1 else last)
    return None


def _dims(input: Symbol, shape: Shape, other: Shape) -> Shape:
    dims = []
    for axis, (size, second) in enumerate(zip(shape, other, strict=True)):
        if size == second:
            dims.append(size)
        elif axis < input.rank and (size, second) == (input.shape[axis], input.other_shape[axis]):
            dims.append(0)
        else:
            dims.append(-1)
    # Caffe infers one axis at most: with more, the batch of the example stays in the net, which
    # the check against the other batch then reports.
    return tuple(dims) if dims.count(-1) <= 1 else shape


def lead(bottom: Symbol) -> int:
    """Return how many axes `as_image` keeps in front: 1 where axis 0 carries the batch, else 0."""
    return int(bottom.rank > 0 and bottom.carries_batch(0))


def as_image(
    net: Emitter, bottom: Symbol, sizes: tuple[int, int, int], suffix: str = "image"
) -> Symbol:
    """Reshape to (batch or 1, *sizes)."""
    count = lead(bottom)
    return viewed(net, bottom, lambda s: (prod(s[:count]), *sizes), suffix=suffix)


def split_shape(bottom: Symbol, first: int, last: int) -> tuple[int, int, int]:
    """Return the sizes before (batch excluded), within and behind axes `first` to `last`."""
    cuts = [lead(bottom), first, last + 1, bottom.rank]
    outer, size, inner = (
        prod(bottom.static_size(axis) for axis in range(low, high)) for low, high in pairwise(cuts)
    )
    return outer, size, inner
