"""Max unpooling: each position of the result is compared with the indices of a max pooling."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product as every
from math import prod
from typing import NamedTuple

import torch

from caffe2fx.layers import AbsVal, Bias, Eltwise, Pooling, Power, Threshold
from caffe2fx.messages.message import Shape
from fx2caffe.ir.binary import PRODUCT
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.index_map import index_map
from fx2caffe.ir.symbol import Refused, Symbol

_EXACT = 1 << 24  # the first integer whose successor float32 does not have


class MaxIndices(NamedTuple):
    """Holds the max pooling that gave some indices, and the shape of its bottom."""

    layer: Pooling
    bottom: Shape

    @property
    def sizes(self) -> Shape:
        """Return height and width of the images into which the indices point."""
        return self.bottom[2:]

    def covers(self) -> list[list[list[int]]]:
        """Return for height and width lists of the windows that contain each index.

        The last list has the last window of each, the one before it the window before, and so on.
        An index that is in fewer windows than others gets -1.
        """
        counts = self.layer.top_shapes([self.bottom], 1)[0][2:]
        axes = zip(self.sizes, counts, *self.layer.geometry(self.bottom), strict=True)
        return [_covers(*axis) for axis in axes]


def _covers(size: int, count: int, kernel: int, stride: int, pad: int) -> list[list[int]]:
    ends = ((index + pad - kernel, index + pad) for index in range(size))
    found = [
        range(max(0, before // stride + 1), min(count, last // stride + 1)) for before, last in ends
    ]
    most = max(map(len, found))
    return [
        [windows[n] if -n <= len(windows) else -1 for windows in found] for n in range(-most, 0)
    ]


def note_indices(net: Emitter, layer: Pooling, bottom: Symbol, tops: Sequence[Symbol]) -> None:
    """Annotate the second top of a max pooling, if it has one, for those that unpool by it."""
    if len(tops) > 1:
        net.annotations[tops[1].value] = MaxIndices(layer, bottom.shape)


def unpooled(net: Emitter, image: Symbol, indices: Symbol, sizes: Shape) -> Symbol:
    """Write each element of an image at its index in a map of `sizes`, which is 0 elsewhere.

    Of windows with one index the last in row-major order is the one that stays, as in torch and
    in Caffe. Raises Refused if the indices are not those of a max pooling of such maps: others
    could be anywhere.
    """
    pooled = _pooled_by(net, indices)
    if pooled is None or pooled.sizes != sizes:
        raise Refused(
            f"needs indices of a max pooling of images of size {sizes}, since no layer "
            "writes to indices that the data choose"
        )
    if prod(sizes) >= _EXACT:
        raise Refused(f"needs images of less than 2^24 pixels, got {sizes}")
    shifted, top = net.add(Power(shift=1), indices, suffix="indices"), None
    for pair in every(*pooled.covers()):
        top = _asked(net, image, shifted, pair, top)
    assert top is not None  # every axis has a window
    return top


def _pooled_by(net: Emitter, indices: Symbol) -> MaxIndices | None:
    """Return the pooling that gave the indices, if they still have their shape; else None."""
    shape = indices.shape
    while indices.value in net.reshape_sources:
        indices = net.reshape_sources[indices.value]
    found = net.annotations.get(indices.value)
    return found if isinstance(found, MaxIndices) and indices.shape == shape else None


def _asked(
    net: Emitter,
    image: Symbol,
    shifted: Symbol,
    covers: Sequence[Sequence[int]],
    before: Symbol | None,
) -> Symbol:
    """Return a window's element where its index is the result's own, else `before` (or 0)."""
    where = dict(enumerate(covers, 2))
    sizes = tuple(len(cover) for cover in covers)
    elements = index_map(net, image, where, suffix="elements")
    window_index = index_map(net, shifted, where, suffix="window_index")
    own = torch.arange(1, 1 + prod(sizes), dtype=torch.float32).reshape(sizes)
    difference = net.add(Bias(axis=2, num_axes=2), window_index, blobs=[-own], suffix="difference")
    elsewhere = net.add(
        Threshold(threshold=0.5),
        net.add(AbsVal(), difference, suffix="distance"),
        suffix="is_other",
    )
    is_own = net.add(Power(scale=-1, shift=1), elsewhere, suffix="is_own")
    found = net.add(PRODUCT, elements, is_own, suffix="unpooled")
    if before is None:
        return found
    kept = net.add(PRODUCT, before, elsewhere, suffix="masked")
    return net.add(Eltwise(), found, kept, suffix="unpooled")
