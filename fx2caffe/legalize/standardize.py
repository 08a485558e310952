"""Standardize: what layer, group, instance and RMS normalization have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from torch import Tensor

from caffe2fx.layers import Bias, Power, Reduction, ReductionOp, Scale
from caffe2fx.message import Shape
from fx2caffe.emit import Emitter
from fx2caffe.legalize.rules import LayerCall, Tops
from fx2caffe.legalize.wide import Wide


@dataclass(frozen=True, kw_only=True)
class Standardize(Wide):
    """(x - mean) / sqrt(variance + eps) over all axes from `axis` on (biased variance).

    Not centred it is x / sqrt(mean of squares + eps).
    """

    type = "Standardize"

    axis: int
    eps: float
    centred: bool = True

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return (tuple(bottoms[0]),)

    def reduction(self, bottoms: Sequence[Shape]) -> int:
        return prod(bottoms[0][self.axis :])

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        bottom, axes = bottoms[0], tuple(range(self.axis, bottoms[0].dim()))
        centred = bottom - bottom.mean(axes, keepdim=True) if self.centred else bottom
        return (centred / (centred.square().mean(axes, keepdim=True) + self.eps).sqrt(),)


def by_reductions(net: Emitter, call: LayerCall[Standardize]) -> Tops:
    """The variance of what is centred already: BatchNorm would need one blob entry a sample,
    and MVN adds eps to the deviation instead of the variance.

    before: Standardize{axis}
    after:  Reduction{MEAN coeff: -1}, Bias, Reduction{SUMSQ}, Power{power: -0.5 shift: eps}, Scale
    """
    layer, bottom = call.layer, call.bottom
    count = prod(bottom.fixed(axis) for axis in range(layer.axis, bottom.rank))
    if layer.centred:
        mean = Reduction(operation=ReductionOp.MEAN, axis=layer.axis, coeff=-1)
        bottom = net.add(Bias(axis=0), bottom, net.add(mean, bottom, role="mean"), role="centred")
    square = Reduction(operation=ReductionOp.SUMSQ, axis=layer.axis, coeff=1 / count)
    variance = net.add(square, bottom, role="variance")
    inverse = net.add(Power(power=-0.5, shift=layer.eps), variance, role="inverse")
    return (net.add(Scale(axis=0), bottom, inverse),)
