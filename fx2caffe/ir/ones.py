"""Ones: a 1 for each sample, of which constants are made that follow the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from caffe2fx.layers import InnerProduct, Power
from caffe2fx.messages.message import Shape
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.index_map import index_map
from fx2caffe.ir.permute import Permute
from fx2caffe.ir.record import IntermediateRecord
from fx2caffe.ir.reshape import reshaped
from fx2caffe.ir.symbol import Symbol


@dataclass(frozen=True, kw_only=True)
class Ones(IntermediateRecord):
    """Make a 1 for each index of the bottom's axis 0, of shape (N, 1)."""

    type = "Ones"
    bottoms = (1, 1)

    @property
    def is_constant(self) -> bool:
        return True

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return ((bottoms[0][0], 1),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (torch.ones(len(bottoms[0]), 1, dtype=bottoms[0].dtype),)


def times_block(net: Emitter, ones: Symbol, block: Tensor) -> Symbol:
    """Return the block's elements for each of the ones, (N, number of elements)."""
    flat = block.reshape(-1).float()
    if len(flat) > 1 and bool((flat == flat[0]).all()):
        element = net.add(Power(scale=float(flat[0])), ones, suffix="element")
        return index_map(net, element, {1: (0,) * len(flat)}, suffix="elements")
    product = InnerProduct(num_output=len(flat), bias_term=False)
    return net.add(product, ones, blobs=[flat[:, None]], suffix="elements")


def repeated_along(
    net: Emitter, ones: Symbol, block: Tensor, axis: int, shape: Shape, other: Shape
) -> Symbol:
    """Repeat a block along an axis, once for each of the ones.

    `shape` and `other` are the result's at both batch sizes.
    """
    made = times_block(net, ones, block)
    outer = prod(block.shape[:axis])
    if outer > 1:
        rows = made.shape[0], outer, made.shape[1] // outer
        unflattened = reshaped(net, made, rows, (made.other_shape[0], *rows[1:]), suffix="flat")
        made = net.add(Permute(order=(1, 0, 2)), unflattened, suffix="along")
    return reshaped(net, made, shape, other, suffix="repeated")
