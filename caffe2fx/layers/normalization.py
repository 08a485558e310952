"""BatchNorm and Scale: Caffe splits torch's batch_norm into statistics and an affine part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layer import Layer, axis_of, register
from caffe2fx.layers.activation import Neuron
from caffe2fx.message import Filler, Shape, field

_BATCH_NORM = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


def along_channels(blob: Tensor, rank: int, axis: int = 1) -> Tensor:
    """View a blob so that it broadcasts against a rank-`rank` tensor from `axis` on."""
    return blob.reshape(*blob.shape, *(1,) * (rank - axis - blob.dim()))


@register
@dataclass(frozen=True, kw_only=True)
class BatchNorm(Neuron):
    """(x - mean) / sqrt(var + eps) per channel, without an affine part.

    The blobs are mean, variance and a factor; both statistics are divided by the factor, and a
    factor of 0 means mean = variance = 0. `use_global_stats` absent means TEST.
    """

    type = "BatchNorm"
    parameter = ("batch_norm_param", 139)
    message = "BatchNormParameter"

    use_global_stats: bool | None = field(1, "bool")
    moving_average_fraction: float = field(2, "float", 0.999)
    eps: float = field(3, "float", 1e-5)

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        channels = bottoms[0][1]
        return (channels,), (channels,), (1,)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if len(bottoms[0]) < 2:
            raise ShapeMismatchError(f"needs a bottom of rank 2 or more, got {bottoms[0]}")

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        bottom = bottoms[0]
        mean, variance = self._statistics(bottom, blobs)
        centred = bottom - along_channels(mean, bottom.dim())
        return (centred / along_channels((variance + self.eps).sqrt(), bottom.dim()),)

    def _statistics(self, bottom: Tensor, blobs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        if self.use_global_stats is False:
            axes = [axis for axis in range(bottom.dim()) if axis != 1]
            return bottom.mean(axes), bottom.var(axes, correction=0)
        return normalized_statistics(blobs)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        made = _BATCH_NORM.get(len(bottoms[0]))
        if made is None or self.use_global_stats is False:
            return super().module(bottoms, blobs, tops)
        momentum = 1 - self.moving_average_fraction
        twin = made(bottoms[0][1], self.eps, momentum, affine=False)
        twin.running_mean, twin.running_var = normalized_statistics(blobs)
        return twin

    def blobs_of(self, module: nn.Module) -> tuple[Tensor, ...]:
        if not isinstance(module, nn.modules.batchnorm._BatchNorm):
            return super().blobs_of(module)
        mean, variance = module.running_mean, module.running_var
        assert mean is not None and variance is not None  # module() always makes them
        return mean, variance, torch.ones(1)


def normalized_statistics(blobs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and variance with Caffe's factor divided out (0 where the factor is 0)."""
    mean, variance, factor = blobs
    scale = torch.where(factor == 0, torch.zeros_like(factor), 1 / factor)
    return mean * scale, variance * scale


class _Affine(Neuron):
    """Base of Scale and Bias: a blob, or a second bottom, over a run of the bottom's axes."""

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
    """The bottom times a blob (or a second bottom), plus a bias blob of the same shape.

    The blob has the bottom's axes [axis, axis + num_axes); num_axes -1 reaches to the end and
    0 makes it a scalar. A second bottom must equal a contiguous run of axes from `axis` on.
    """

    type = "Scale"
    parameter = ("scale_param", 142)
    message = "ScaleParameter"

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
        factor = bottoms[1] if len(bottoms) == 2 else blobs[0]
        scaled = bottoms[0] * self._spread(bottoms, factor)
        return (scaled + self._spread(bottoms, blobs[-1]) if self.bias_term else scaled,)


@register
@dataclass(frozen=True, kw_only=True)
class Bias(_Affine):
    """The bottom plus a blob (or a second bottom) over the axes [axis, axis + num_axes)."""

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
