"""Max unpooling over one to three axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F

from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.reshape import viewed
from fx2caffe.ir.symbol import Operand, Refused, Symbol
from fx2caffe.ir.unpooling import unpooled
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.arguments import Sizes
from fx2caffe.ops.pooling import as_image


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
        """Compare, for each element of the result, the index of every window that contains it."""
        if axes == 3:
            raise Refused("needs one or two dimensions, where a pooling gives indices, got three")
        if not isinstance(indices, Symbol) or not isinstance(input, Symbol):
            raise Refused("needs elements and indices that the net computes, got constant ones")
        image, named = as_image(net, input, axes), as_image(net, indices, axes)
        top = unpooled(net, image, named, (1,) * (2 - axes) + out.shape[-axes:])
        lead = input.rank - axes
        return viewed(net, top, lambda s: (*s[2 - lead : 2], *out.shape[-axes:]))

    return max_unpool


handles(F.max_unpool1d)(_max_unpool(1))


handles(F.max_unpool2d)(_max_unpool(2))


handles(F.max_unpool3d)(_max_unpool(3))
