"""Scale and Bias: a factor and a summand over consecutive axes of the bottom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.activation import Neuron
from caffe2fx.layers.layer import axis_of
from caffe2fx.layers.registry import register
from caffe2fx.messages.common import Filler
from caffe2fx.messages.message import Shape, field


def along_channels(blob: Tensor, rank: int, axis: int = 1) -> Tensor:
    """View a blob so that it broadcasts against a rank-`rank` tensor from `axis` on."""
    return blob.reshape((*blob.shape, *(1,) * (rank - axis - blob.dim())))


class _Affine(Neuron):
    """Base of Scale and Bias: a blob, or a second bottom, over consecutive axes of the bottom."""

    bottoms = (1, 2)
    axis: int
    num_axes: int

    def _first(self, bottoms: Sequence[Shape]) -> int:
        scalar = len(bottoms) == 2 and len(bottoms[1]) == 0
        return 0 if scalar else axis_of(self.axis, len(bottoms[0]))

    def _run(self, bottoms: Sequence[Shape]) -> Shape:
        if len(bottoms) == 2:
            return bottoms[1]
        axis = axis_of(self.axis, len(bottoms[0]))
        end = len(bottoms[0]) if self.num_axes == -1 else axis + self.num_axes
        return tuple(bottoms[0][axis:end])

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        return (self._run(bottoms),) * (len(bottoms) == 1)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if self.num_axes < -1:
            raise ShapeMismatchError(f"needs num_axes of -1 or more, got {self.num_axes}")
        axis, run = self._first(bottoms), self._run(bottoms)
        if len(bottoms) == 1 and self.num_axes > len(bottoms[0]) - axis:
            raise ShapeMismatchError(
                f"needs axis + num_axes within {len(bottoms[0])} axes, got {axis} + {self.num_axes}"
            )
        if tuple(bottoms[0][axis : axis + len(run)]) != tuple(run):
            raise ShapeMismatchError(
                f"needs a second bottom equal to axes of {bottoms[0]} from {axis} on, got {run}"
            )

    def _spread(self, bottoms: Sequence[Tensor], blob: Tensor) -> Tensor:
        axis = self._first([tuple(bottom.shape) for bottom in bottoms])
        return along_channels(blob, bottoms[0].dim(), axis)


@register
@dataclass(frozen=True, kw_only=True)
class Scale(_Affine):
    """Multiply the bottom by a blob (or a second bottom), and add a bias blob of the same shape.

    The blob has the bottom's axes [axis, axis + num_axes); num_axes -1 reaches to the end and
    0 makes it a scalar. A second bottom must equal a contiguous run of axes from `axis` on.
    """

    type = "Scale"
    parameter = ("scale_param", 142)
    message = "ScaleParameter"

    nan_needs = "needs finite elements: for products with 0 or NaN the BLAS of many a Caffe gives 0"

    axis: int = field(1, "int32", 1)
    num_axes: int = field(2, "int32", 1)
    filler: Filler | None = field(3, Filler)
    bias_term: bool = field(4, "bool", False)
    bias_filler: Filler | None = field(5, Filler)

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        return (self._run(bottoms),) * ((len(bottoms) == 1) + self.bias_term)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (self._shifted(bottoms[0] * self._factor(bottoms, blobs), bottoms, blobs),)

    def compute_losing_nan(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        factor = self._factor(bottoms, blobs)
        scaled = torch.where((factor == 0) | factor.isnan(), 0.0, bottoms[0] * factor)
        return (self._shifted(scaled, bottoms, blobs),)

    def _factor(self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor]) -> Tensor:
        return self._spread(bottoms, bottoms[1] if len(bottoms) == 2 else blobs[0])

    def _shifted(
        self, scaled: Tensor, bottoms: Sequence[Tensor], blobs: Sequence[Tensor]
    ) -> Tensor:
        return scaled + self._spread(bottoms, blobs[-1]) if self.bias_term else scaled


@register
@dataclass(frozen=True, kw_only=True)
class Bias(_Affine):
    """Add a blob (or a second bottom) over the axes [axis, axis + num_axes) of the bottom."""

    type = "Bias"
    parameter = ("bias_param", 141)
    message = "BiasParameter"

    axis: int = field(1, "int32", 1)
    num_axes: int = field(2, "int32", 1)
    filler: Filler | None = field(3, Filler)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (bottoms[0] + self._spread(bottoms, [*bottoms, *blobs][1]),)
