"""Reshapes that do not write the batch into the net, as far as Caffe's Reshape can say it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import prod

from caffe2fx.layers import Flatten, Reshape
from caffe2fx.messages.message import Shape
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Symbol


def reshaped(net: Emitter, input: Symbol, shape: Shape, other: Shape, suffix: str = "") -> Symbol:
    """`input` with another shape; axes that carry the batch are copied or inferred, not written."""
    if len(shape) != len(other):
        # squeeze() of a batch of one: another batch gives another rank.
        net.fix_batch(f"{net.scope[0]} gives {shape}, and {other} for another batch")
    if shape == input.shape and other == input.other_shape:
        return input
    merged = _merged_axes(input, shape, other)
    if merged is not None:
        return net.add(Flatten(axis=merged[0], end_axis=merged[1]), input, suffix=suffix)
    return by_reshape(net, input, shape, other, suffix)


def by_reshape(net: Emitter, input: Symbol, shape: Shape, other: Shape, suffix: str = "") -> Symbol:
    """`input` with another shape, by that layer also where Flatten would do."""
    return net.add(Reshape(shape=_dims(input, shape, other)), input, suffix=suffix)


def viewed(net: Emitter, input: Symbol, view: Callable[[Shape], Shape], suffix: str = "") -> Symbol:
    """`input` with the shape that `view` makes of its own, whatever the batch."""
    return reshaped(net, input, view(input.shape), view(input.other_shape), suffix)


def reshaped_source(
    net: Emitter, input: Symbol, shape: Shape, other: Shape, suffix: str = ""
) -> Symbol:
    """Like `reshaped`, but from before earlier reshapes, as far back as Caffe can say it."""
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
    """The range of axes that became one, if that is all that happened."""
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
    """How many axes stay in front in an image made of a bottom: the batch, where it is one."""
    return int(bottom.rank > 0 and bottom.carries_batch(0))


def as_image(
    net: Emitter, bottom: Symbol, sizes: tuple[int, int, int], suffix: str = "image"
) -> Symbol:
    """(batch or 1, *sizes)."""
    count = lead(bottom)
    return viewed(net, bottom, lambda s: (prod(s[:count]), *sizes), suffix=suffix)


def around(bottom: Symbol, first: int, last: int) -> tuple[int, int, int]:
    """The axes before (but the batch), from, and behind `first` to `last`, each as one size."""
    cuts = [lead(bottom), first, last + 1, bottom.rank]
    outer, size, inner = (
        prod(bottom.static_size(axis) for axis in range(low, high)) for low, high in pairwise(cuts)
    )
    return outer, size, inner
