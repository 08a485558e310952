"""Normalizations of Caffe's forks."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from enum import IntEnum
from math import prod
from typing import Any, ClassVar

from torch import Tensor, nn

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.activation import Neuron
from caffe2fx.layers.affine import along_channels
from caffe2fx.layers.forks.shape import SSD, needs_rank
from caffe2fx.layers.layer import Layer
from caffe2fx.layers.registry import register
from caffe2fx.messages.common import Engine, Filler
from caffe2fx.messages.message import Shape, field, forked


@register
@dataclass(frozen=True, kw_only=True)
class Normalize(Layer):
    """Divide by sqrt(sum of x^2 + eps) over C, or over C, H and W, and multiply by a blob.

    The blob holds one factor per channel, or a single one with `channel_shared`.
    """

    type = "Normalize"
    parameter = ("norm_param", 206)
    message = "NormalizeParameter"
    dialects = SSD

    across_spatial: bool = field(1, "bool", True)
    scale_filler: Filler | None = field(2, Filler)
    channel_shared: bool = field(3, "bool", True)
    eps: float = field(4, "float", 1e-10)

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        return ((),) if self.channel_shared else ((bottoms[0][1],),)

    def blob_fillers(self, count: int) -> tuple[Filler, ...]:
        return (self.scale_filler or Filler(value=1.0),)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if not 2 <= len(bottoms[0]) <= 4:
            raise ShapeMismatchError(f"needs a bottom of 2 to 4 axes, got {bottoms[0]}")

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return (tuple(bottoms[0]),)

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        return prod(bottoms[0][1:]) if self.across_spatial else bottoms[0][1]

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        bottom = bottoms[0]
        axes = list(range(1, bottom.dim())) if self.across_spatial else [1]
        norm = (bottom.square().sum(axes, keepdim=True) + self.eps).sqrt()
        scale = blobs[0] if self.channel_shared else along_channels(blobs[0], bottom.dim())
        return (bottom / norm * scale,)


class BNMode(IntEnum):
    """Selects whether SegNet's BN takes its statistics from the batch."""

    LEARN = 0
    INFERENCE = 1


class _BN(Neuron):
    """Base of the layers of type BN: blobs of shape (1, C, 1, 1)."""

    count: ClassVar[int]

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        return ((1, bottoms[0][1], 1, 1),) * self.count

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        needs_rank(bottoms[0], 4)


@register
@dataclass(frozen=True, kw_only=True)
class BN(_BN):
    """Compute (x - mean) / sqrt(var + eps) * slope + shift; blobs: slope, shift, mean, variance."""

    type = "BN"
    parameter = ("bn_param", 137)
    message = "BNParameter"
    dialects = ("pspnet", "brocolli")

    count = 4

    slope_filler: Filler | None = field(1, Filler)
    bias_filler: Filler | None = field(2, Filler)
    momentum: float = field(3, "float", 0.9)
    eps: float = field(4, "float", 1e-5)
    frozen: bool = field(5, "bool", False)
    engine: Engine = field(6, Engine, Engine.DEFAULT)

    icnet: bool | None = forked("bool")  # by it Synopsys's fork distinguishes the two meanings

    @classmethod
    def unknown_kind(cls, proto: Any) -> str:
        other = proto.bn_param.HasField("icnet") and not proto.bn_param.icnet
        return "BN" if other else ""

    def blob_fillers(self, count: int) -> tuple[Filler, ...]:
        slope, shift = self.slope_filler or Filler(value=1.0), self.bias_filler or Filler()
        return slope, shift, Filler(), Filler(value=1.0)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        slope, shift, mean, variance = blobs
        return ((bottoms[0] - mean) / (variance + self.eps).sqrt() * slope + shift,)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        twin = nn.BatchNorm2d(bottoms[0][1], self.eps, 1 - self.momentum)
        slope, shift, mean, variance = (blob.reshape(-1) for blob in blobs)
        twin.weight, twin.bias = nn.Parameter(slope), nn.Parameter(shift)
        twin.running_mean, twin.running_var = mean, variance
        return twin

    def blobs_of(self, module: nn.Module) -> tuple[Tensor, ...]:
        if not isinstance(module, nn.BatchNorm2d):
            return super().blobs_of(module)
        kept = (module.weight, module.bias, module.running_mean, module.running_var)
        return tuple(blob.reshape(1, -1, 1, 1) for blob in kept if blob is not None)


@register
@dataclass(frozen=True, kw_only=True)
class BNScale(_BN):
    """Compute x * scale + shift in INFERENCE; normalize by the batch first in LEARN (SegNet's).

    LEARN is from the fork's source, not run; INFERENCE as in tpu_mlir's Caffe.
    """

    type = "BN"
    parameter = ("bn_param", 45)
    message = "BNParameter"
    dialects = ("segnet",)

    count = 2

    scale_filler: Filler | None = field(1, Filler)
    shift_filler: Filler | None = field(2, Filler)
    bn_mode: BNMode = field(3, BNMode, BNMode.LEARN)

    icnet: bool | None = forked("bool")  # by it Synopsys's fork distinguishes the two meanings

    @classmethod
    def unknown_kind(cls, proto: Any) -> str:
        other = proto.bn_param.HasField("icnet") and proto.bn_param.icnet
        return "BN" if other else ""

    def blob_fillers(self, count: int) -> tuple[Filler, ...]:
        return self.scale_filler or Filler(), self.shift_filler or Filler()

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        return 1 if self.bn_mode is BNMode.INFERENCE else prod(bottoms[0]) // bottoms[0][1]

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        bottom = bottoms[0]
        if self.bn_mode is BNMode.LEARN:
            variance = bottom.var((0, 2, 3), correction=0, keepdim=True)
            bottom = (bottom - bottom.mean((0, 2, 3), keepdim=True)) / (variance + 1e-9).sqrt()
        return (bottom * blobs[0] + blobs[1],)


@register
@dataclass(frozen=True, kw_only=True)
class BNOfBoth(_BN):
    """Compute PSPNet's BN of four blobs in mode LEARN, SegNet's of two in mode INFERENCE."""

    type = "BN"
    parameter = ("bn_param", 162)
    message = "BNParameter"
    dialects = ("tpu_mlir",)

    slope_filler: Filler | None = field(1, Filler)
    bias_filler: Filler | None = field(2, Filler)
    momentum: float = field(3, "float", 0.9)
    eps: float = field(4, "float", 1e-5)
    frozen: bool = field(5, "bool", False)
    engine: Engine = field(6, Engine, Engine.DEFAULT)
    bn_mode: BNMode = field(7, BNMode, BNMode.LEARN)
    scale_filler: Filler | None = field(8, Filler)
    shift_filler: Filler | None = field(9, Filler)

    @classmethod
    def matches_fields(cls, names: Set[str]) -> bool:
        # With the fields of one fork alone it is that fork's, unless the dialect is named.
        return not any(names <= {name for name, _ in kind.wires()} for kind in (BN, BNScale))

    def _plain(self) -> BN | BNScale:
        kind = BN if self.bn_mode is BNMode.LEARN else BNScale
        names = [name for name, _ in kind.wires() if hasattr(self, name)]
        return kind(**{name: getattr(self, name) for name in names})

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        return self._plain().blob_shapes(bottoms)

    def blob_fillers(self, count: int) -> tuple[Filler, ...]:
        return self._plain().blob_fillers(count)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return self._plain().compute(bottoms, blobs, tops)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return self._plain().module(bottoms, blobs, tops)

    def blobs_of(self, module: nn.Module) -> tuple[Tensor, ...]:
        return self._plain().blobs_of(module)
