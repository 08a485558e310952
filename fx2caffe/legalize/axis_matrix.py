"""AxisMatrix: any linear map along one axis, as a matrix multiplied to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from torch import Tensor

from caffe2fx.layers import Convolution, InnerProduct, Reshape
from caffe2fx.message import Shape
from fx2caffe.emit import Emitter, Refused
from fx2caffe.legalize.rules import LayerCall, Tops
from fx2caffe.legalize.wide import Wide


@dataclass(frozen=True, kw_only=True)
class AxisMatrix(Wide):
    """y = M x along `axis` (counted from the front), with M (rows, size of the axis) as blob."""

    type = "AxisMatrix"

    axis: int
    rows: int

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        return ((self.rows, bottoms[0][self.axis]),)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return ((*bottoms[0][: self.axis], self.rows, *bottoms[0][self.axis + 1 :]),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        moved = bottoms[0].movedim(self.axis, -1)
        return ((moved @ blobs[0].t()).movedim(-1, self.axis),)


def last_axis(net: Emitter, call: LayerCall[AxisMatrix]) -> Tops:
    """The last axis: InnerProduct, which keeps all axes before it."""
    layer, bottom = call.layer, call.bottom
    if layer.axis != bottom.rank - 1 or layer.axis == 0:
        raise Refused(f"needs the last axis of several, got {layer.axis}")
    axis = 1 if bottom.rank == 2 else -1
    product = InnerProduct(num_output=layer.rows, bias_term=False, axis=axis)
    return (net.add(product, bottom, blobs=call.blobs),)


def channels(net: Emitter, call: LayerCall[AxisMatrix]) -> Tops:
    """The channels of images: a 1x1 convolution."""
    layer, bottom = call.layer, call.bottom
    if layer.axis != 1 or bottom.rank != 4:
        raise Refused(f"needs axis 1 of 4, got axis {layer.axis} of {bottom.rank}")
    weight = call.blobs[0].reshape(layer.rows, bottom.fixed(1), 1, 1)
    product = Convolution(num_output=layer.rows, bias_term=False, kernel_size=(1,))
    return (net.add(product, bottom, blobs=[weight]),)


def any_axis(net: Emitter, call: LayerCall[AxisMatrix]) -> Tops:
    """Any other axis: as channels of a 1x1 convolution, all axes before it as its batch."""
    layer, bottoms = call.layer, call.bottoms
    bottom, axis = bottoms[0], layer.axis
    inner = prod(bottom.fixed(a) for a in range(axis + 1, bottom.rank))
    size = bottom.fixed(axis)
    flat = net.add(Reshape(shape=(-1, size, 1, inner)), bottom, role="rows")
    product = Convolution(num_output=layer.rows, bias_term=False, kernel_size=(1,))
    weight = call.blobs[0].reshape(layer.rows, size, 1, 1)
    mixed = net.add(product, flat, blobs=[weight], role="mix")
    shape = (*bottom.shape[:axis], layer.rows, *bottom.shape[axis + 1 :])
    dims = tuple(
        -1 if axis_ != axis and bottom.carries_batch(axis_) else size
        for axis_, size in enumerate(shape)
    )
    return (net.add(Reshape(shape=dims), mixed),)
