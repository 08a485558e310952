"""BatchNorm, LRN and MVN. Caffe splits torch's batch_norm into BatchNorm (statistics) and Scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import nan, prod
from typing import Any

import torch
from torch import Tensor, nn

from caffe2fx.errors import CaffeError, ShapeMismatchError
from caffe2fx.layers.activation import Neuron
from caffe2fx.layers.affine import along_channels
from caffe2fx.layers.layer import Layer, RecordModule, of_four_axes
from caffe2fx.layers.registry import register
from caffe2fx.messages.common import Engine, Filler, ParamSpec, Phase
from caffe2fx.messages.message import Shape, field, hint


@register
@dataclass(frozen=True, kw_only=True)
class BatchNorm(Neuron):
    """Compute (x - mean) / sqrt(var + eps) per channel, without an affine part.

    The blobs are mean, variance and a factor; both statistics are divided by the factor, and a
    factor of 0 means mean = variance = 0. `use_global_stats` absent means: of the blobs in TEST,
    of the batch in TRAIN. Where the batch's count they are added to the blobs, which fade by
    moving_average_fraction; not so in TEST, where Caffe does it too and nothing depends on it.
    """

    type = "BatchNorm"
    parameter = ("batch_norm_param", 139)
    message = "BatchNormParameter"

    use_global_stats: bool | None = field(1, "bool")
    moving_average_fraction: float = field(2, "float", 0.999)
    eps: float = field(3, "float", 1e-5)
    engine: Engine | None = hint(Engine)
    filler: Filler | None = hint(Filler)  # Intel's: of a scale that some of its engines have here

    @classmethod
    def read(cls, proto: Any) -> Layer:
        record = super().read(proto)
        assert isinstance(record, BatchNorm)
        if record.use_global_stats is None and proto.HasField("phase"):
            return record.replace(use_global_stats=proto.phase == Phase.TEST)
        return record

    def check_params(self, params: Sequence[ParamSpec]) -> None:
        rates = [spec.lr_mult for spec in params[:3]]
        if any(rates):
            raise ShapeMismatchError(f"needs lr_mult 0 for its statistics, got {rates}")

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        channels = bottoms[0][1]
        return (channels,), (channels,), (1,)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if len(bottoms[0]) < 2:
            raise ShapeMismatchError(f"needs a bottom of rank 2 or more, got {bottoms[0]}")
        if self.eps < 0:
            raise ShapeMismatchError(f"needs eps of 0 or more, got {self.eps}")

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        if self.use_global_stats is False:
            return (self.of_batch(bottoms[0]),)
        return (self._normalized(bottoms[0], *normalized_statistics(blobs)),)

    def _normalized(self, bottom: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        centred = bottom - along_channels(mean, bottom.dim())
        return centred / along_channels((variance + self.eps).sqrt(), bottom.dim())

    def of_batch(self, bottom: Tensor) -> Tensor:
        """Normalize the bottom by its own mean and variance, as Caffe does in TRAIN."""
        return self._normalized(bottom, *_batch_statistics(bottom))

    def moved(self, blobs: Sequence[Tensor], bottom: Tensor) -> tuple[Tensor, ...]:
        """Return the blobs as they are after Caffe has run one more batch in TRAIN."""
        mean, variance = _batch_statistics(bottom.detach())
        count = bottom.numel() // bottom.shape[1]
        correction = count / (count - 1) if count > 1 else 1.0
        news = (mean, variance * correction, torch.ones_like(blobs[2]))
        fade = self.moving_average_fraction
        return tuple(blob * fade + new for blob, new in zip(blobs, news, strict=True))

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        made = _BATCH_NORM.get(len(bottoms[0]))
        if made is None or self.use_global_stats is False:
            return BatchNormModule(self, blobs, tops)
        twin = made(self, bottoms[0][1])
        twin.take(blobs)
        return twin

    def blobs_of(self, module: nn.Module) -> tuple[Tensor, ...]:
        if not isinstance(module, _Twin):
            return super().blobs_of(module)
        return module.blobs


class _Twin(nn.modules.batchnorm._BatchNorm):
    """Runs torch's BatchNorm with statistics that move in train mode as Caffe's blobs do.

    `running_mean` and `running_var` have the factor divided out. The three blobs of the file are
    kept beside them: a factor of 0 makes every mean and variance 0, so that the statistics alone
    do not give the blobs back.
    """

    factor: Tensor
    blob_mean: Tensor
    blob_variance: Tensor
    blob_factor: Tensor

    def __init__(self, layer: BatchNorm, channels: int) -> None:
        momentum = 1 - layer.moving_average_fraction
        super().__init__(channels, layer.eps, momentum, affine=False)
        self.layer = layer
        self.register_buffer("factor", torch.ones(1))
        self.take((self.mean, self.variance, self.factor))

    @property
    def mean(self) -> Tensor:
        return _required("running_mean", self.running_mean)

    @property
    def variance(self) -> Tensor:
        return _required("running_var", self.running_var)

    def take(self, blobs: Sequence[Tensor]) -> None:
        """Set the running statistics to those that the three blobs give."""
        self.running_mean, self.running_var = normalized_statistics(blobs)
        self.factor = blobs[2]
        # The factor may be written in place, and then must not change in both.
        for name, blob in zip(_STATED, (*blobs[:2], blobs[2].clone()), strict=True):
            self.register_buffer(name, blob, persistent=False)

    @property
    def blobs(self) -> tuple[Tensor, ...]:
        """Return the file's blobs while they give the statistics, else blobs that do."""
        stated = self.blob_mean, self.blob_variance, self.blob_factor
        now = self.mean, self.variance, self.factor
        if all(map(torch.equal, now, (*normalized_statistics(stated), self.blob_factor))):
            return stated
        factor = torch.where(self.factor == 0, torch.ones_like(self.factor), self.factor)
        return self.mean * factor, self.variance * factor, factor

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.layer.use_global_stats:
            return nn.functional.batch_norm(input, self.mean, self.variance, eps=self.eps)
        self.take(self.layer.moved(self.layer.blobs_of(self), input))
        return self.layer.of_batch(input)


def _required(name: str, statistics: Tensor | None) -> Tensor:
    if statistics is None:
        raise CaffeError(f"BatchNorm needs {name}, got None")
    return statistics


_STATED = ("blob_mean", "blob_variance", "blob_factor")


class BatchNorm1d(_Twin, nn.BatchNorm1d):
    """Runs rank 2 and 3."""


class BatchNorm2d(_Twin, nn.BatchNorm2d):
    """Runs rank 4."""


class BatchNorm3d(_Twin, nn.BatchNorm3d):
    """Runs rank 5."""


_BATCH_NORM: dict[int, type[_Twin]] = {
    2: BatchNorm1d, 3: BatchNorm1d, 4: BatchNorm2d, 5: BatchNorm3d
}  # fmt: skip


class BatchNormModule(RecordModule):
    """Runs BatchNorm where torch has no twin, with the blobs as they are in the file."""

    def __init__(self, layer: BatchNorm, blobs: Sequence[Tensor], tops: int) -> None:
        super().__init__(layer, (), tops)
        for index, blob in enumerate(blobs):  # no parameters: Caffe never trains them either
            self.register_buffer(f"blob{index}", blob)
        self._count = len(blobs)

    def forward(self, *values: Tensor) -> Tensor | tuple[Tensor, ...]:
        layer = self.layer
        assert isinstance(layer, BatchNorm)
        if not self.training or layer.use_global_stats:
            return super().forward(*values)
        for index, blob in enumerate(layer.moved(self.blobs, values[0])):
            setattr(self, f"blob{index}", blob)
        return layer.of_batch(values[0])


def _batch_statistics(bottom: Tensor) -> tuple[Tensor, Tensor]:
    axes = [axis for axis in range(bottom.dim()) if axis != 1]
    return bottom.mean(axes), bottom.var(axes, correction=0)


def normalized_statistics(blobs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return mean and variance with Caffe's factor divided out (0 where the factor is 0)."""
    mean, variance, factor = blobs
    scale = torch.where(factor == 0, torch.zeros_like(factor), 1 / factor)
    return mean * scale, variance * scale


class NormRegion(IntEnum):
    """Selects the elements over which LRN sums the squares."""

    ACROSS_CHANNELS = 0
    WITHIN_CHANNEL = 1


@register
@dataclass(frozen=True, kw_only=True)
class LRN(Layer):
    """Compute x / (k + alpha / n * s) ** beta, s the sum of squares over n = local_size.

    WITHIN_CHANNEL sums over local_size x local_size positions (n is their count), zeros outside
    included, and has 1 for k.
    """

    type = "LRN"
    parameter = ("lrn_param", 118)
    message = "LRNParameter"

    nan_needs = "needs finite elements: Caffe's running sums carry NaN on to all later channels"

    local_size: int = field(1, "uint32", 5)
    alpha: float = field(2, "float", 1.0)
    beta: float = field(3, "float", 0.75)
    norm_region: NormRegion = field(4, NormRegion, NormRegion.ACROSS_CHANNELS)
    k: float = field(5, "float", 1.0)
    engine: Engine = field(6, Engine, Engine.DEFAULT)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if self.local_size % 2 == 0:
            raise ShapeMismatchError(f"needs an odd local_size, got {self.local_size}")
        if len(bottoms[0]) != 4:
            raise ShapeMismatchError(f"needs a 4-D bottom, got {bottoms[0]}")

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return (tuple(bottoms[0]),)

    def _is_across(self) -> bool:
        return self.norm_region is NormRegion.ACROSS_CHANNELS

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        return self.local_size if self._is_across() else self.local_size**2

    def overwrites(self, bottoms: Sequence[Shape], tops: int) -> bool:
        return not self._is_across()

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        bottom, size = bottoms[0], self.local_size
        if self._is_across():
            normal = nn.functional.local_response_norm
            return (normal(bottom, size, self.alpha, self.beta, self.k),)
        mean = nn.functional.avg_pool2d(bottom.square(), size, 1, size // 2)
        return (bottom * (1 + self.alpha * mean) ** -self.beta,)

    def compute_losing_nan(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        (top,) = self.compute(bottoms, blobs, tops)
        if not self._is_across():
            return (top,)
        reached = (~top.isfinite()).float().cummax(1).values
        return (torch.where(reached > 0, nan, top),)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        if self._is_across():
            return nn.LocalResponseNorm(self.local_size, self.alpha, self.beta, self.k)
        return super().module(bottoms, blobs, tops)


@register
@dataclass(frozen=True, kw_only=True)
class MVN(Layer):
    """Compute (x - mean) / (std + eps) over H and W, or over C, H and W with across_channels.

    The deviation is the biased one, and eps is added to it, not to the variance. The top is 4-D
    whatever the rank of the bottom, so that in place it would change its bottom's shape.
    """

    type = "MVN"
    parameter = ("mvn_param", 120)
    message = "MVNParameter"

    normalize_variance: bool = field(1, "bool", True)
    across_channels: bool = field(2, "bool", False)
    eps: float = field(3, "float", 1e-9)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if len(bottoms[0]) > 4:
            raise ShapeMismatchError(f"needs a bottom of at most 4 axes, got {bottoms[0]}")

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return (of_four_axes(bottoms[0]),)

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        return prod(bottoms[0][1 if self.across_channels else 2 :])

    def overwrites(self, bottoms: Sequence[Shape], tops: int) -> bool:
        return len(bottoms[0]) == 4

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        bottom = bottoms[0].reshape(self.top_shapes([tuple(bottoms[0].shape)], tops)[0])
        axes = (1, 2, 3) if self.across_channels else (2, 3)
        centred = bottom - bottom.mean(axes, keepdim=True)
        if not self.normalize_variance:
            return (centred,)
        return (centred / self._deviation(centred.square().mean(axes, keepdim=True)),)

    def _deviation(self, variance: Tensor) -> Tensor:
        """Compute sqrt(variance) + eps, differentiated as Caffe's backward does."""
        deviation = variance.detach().sqrt() + self.eps
        return deviation + (variance - variance.detach()) / (2 * deviation)
