"""Max unpooling, by the windows that contain each element of the result."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product as every
from math import prod
from typing import Any

import torch
import torch.nn.functional as F

from caffe2fx.layers import AbsVal, Eltwise, Power
from fx2caffe.ir.binary import PRODUCT
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.index_map import index_map
from fx2caffe.ir.reshape import viewed
from fx2caffe.ir.symbol import Operand, Refused, Symbol
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.arguments import Sizes
from fx2caffe.ops.blocks import above, difference, opposite
from fx2caffe.ops.pooling import Pooled, as_image


def _max_unpool(axes: int) -> Any:
    def max_unpool(
        net: Emitter,
        input: Operand,
        indices: Operand,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        output_size: Sequence[int] | None = None,
        *,
        out: Expected,
    ) -> Symbol:
        """Compare, for each element of the result, the index of every window that contains it.

        The indices must come from a max pooling in the net: others could be anywhere.
        """
        if axes == 3:
            raise Refused("needs one or two dimensions, where a pooling gives indices, got three")
        if not isinstance(indices, Symbol) or not isinstance(input, Symbol):
            raise Refused("needs numbers and indices that the net computes, got constant ones")
        sizes, named = (1,) * (2 - axes) + out.shape[-axes:], as_image(net, indices, axes)
        pooled = _pooled_by(net, named)
        if pooled is None or pooled.sizes != sizes:
            raise Refused(
                f"needs indices of a max pooling of images of size {sizes}, since no layer "
                "writes to places that the data choose"
            )
        image, places = as_image(net, input, axes), net.add(Power(shift=1), named, suffix="indices")
        covers = [pooled.windows.only(axis).covers(0, size) for axis, size in enumerate(sizes)]
        top = None
        for pair in every(*covers):
            top = _asked(net, image, places, pair, top)
        assert top is not None  # every axis has a window
        lead = input.rank - axes
        return viewed(net, top, lambda s: (*s[2 - lead : 2], *out.shape[-axes:]))

    return max_unpool


handles(F.max_unpool1d)(_max_unpool(1))


handles(F.max_unpool2d)(_max_unpool(2))


handles(F.max_unpool3d)(_max_unpool(3))


def _pooled_by(net: Emitter, indices: Symbol) -> Pooled | None:
    """Return the pooling that gave the indices, if they still have their shape; else None."""
    shape = indices.shape
    while indices.value in net.reshape_sources:
        indices = net.reshape_sources[indices.value]
    found = net.annotations.get(indices.value)
    return found if isinstance(found, Pooled) and indices.shape == shape else None


def _asked(
    net: Emitter,
    image: Symbol,
    places: Symbol,
    covers: Sequence[Sequence[int]],
    before: Symbol | None,
) -> Symbol:
    """Return a window's element where its index is the result's own, else `before` (or 0).

    Overlapping windows may have the same index: then their elements are equal too.
    """
    where = dict(enumerate(covers, 2))
    sizes = tuple(len(cover) for cover in covers)
    numbers = index_map(net, image, where, suffix="elements")
    named = index_map(net, places, where, suffix="named")
    own = torch.arange(1, 1 + prod(sizes)).reshape(sizes)
    apart = net.add(AbsVal(), difference(net, named, own, "difference"), suffix="distance")
    elsewhere = above(net, apart, 0.5, "elsewhere")
    found = net.add(PRODUCT, numbers, opposite(net, elsewhere, "here"), suffix="found")
    if before is None:
        return found
    kept = net.add(PRODUCT, before, elsewhere, suffix="masked")
    return net.add(Eltwise(), found, kept, suffix="unpooled")
