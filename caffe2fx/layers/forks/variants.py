"""BVLC's layers as forks extended them, where the extension changes the results."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.activation import Neuron, needs_dropout_ratio
from caffe2fx.layers.affine import along_channels
from caffe2fx.layers.layer import Evidence, RecordModule
from caffe2fx.layers.normalization import BatchNorm, normalized_statistics
from caffe2fx.layers.registry import register
from caffe2fx.messages.common import Engine, Filler
from caffe2fx.messages.message import Shape, field, forked


@register
@dataclass(frozen=True, kw_only=True)
class DropoutUnscaled(Neuron):
    """Drop out; without `scale_train` TEST scales by 1 - dropout_ratio, TRAIN by the mask.

    With `sample_weights_test` Bayesian SegNet drops by chance in TEST too, which is refused.

    From the fork's source, not run; TEST as in OpenCV.
    """

    type = "Dropout"
    parameter = ("dropout_param", 108)
    message = "DropoutParameter"
    dialects = ("rcnn", "opencv", "synopsys", "segnet")

    dropout_ratio: float = field(1, "float", 0.5)
    scale_train: bool | None = field(2, "bool", True, absent=None)
    sample_weights_test: bool = forked("bool", False)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        needs_dropout_ratio(self.dropout_ratio)
        if self.sample_weights_test:
            raise ShapeMismatchError(
                "needs no sample_weights_test, got true: elements are dropped by chance in TEST "
                "too, so that no two runs agree; leave it out for the net without chance"
            )

    @classmethod
    def matches_fields(cls, names: Set[str]) -> bool:
        return bool(names & {"scale_train", "sample_weights_test"})

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (bottoms[0] * (1 - self.dropout_ratio) if self.scale_train is False else bottoms[0],)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        if self.scale_train is False:
            return _Masked(self, blobs, tops)
        return nn.Dropout(self.dropout_ratio)


class _Masked(RecordModule):
    """Multiplies the bottom by a mask of 0 and 1 in training."""

    def forward(self, *values: Tensor) -> Tensor | tuple[Tensor, ...]:
        layer = self.layer
        assert isinstance(layer, DropoutUnscaled)
        if not self.training:
            return super().forward(*values)
        return F.dropout(values[0], layer.dropout_ratio) * (1 - layer.dropout_ratio)


@register
@dataclass(frozen=True, kw_only=True)
class BatchNormScaleBias(Neuron):
    """Normalize as BatchNorm; `scale_bias` adds two blobs, a factor and an offset per channel.

    NVIDIA keeps averages where BVLC keeps sums, so that the third blob has to be 0 or 1, with which
    both read the same. From the fork's source, not run; as in OpenCV.
    """

    type = "BatchNorm"
    parameter = ("batch_norm_param", 139)
    message = "BatchNormParameter"
    dialects = ("nvidia", "opencv")

    use_global_stats: bool | None = field(1, "bool")
    moving_average_fraction: float = field(2, "float", 0.999)
    eps: float = field(3, "float", 1e-5)
    scale_filler: Filler | None = field(5, Filler)
    bias_filler: Filler | None = field(6, Filler)
    scale_bias: bool | None = field(7, "bool", False, absent=None)
    engine: Engine = field(15, Engine, Engine.DEFAULT)

    @classmethod
    def matches_fields(cls, names: Set[str]) -> bool:
        return bool(names & {"scale_bias", "scale_filler", "bias_filler"})

    def _plain(self) -> BatchNorm:
        return BatchNorm(use_global_stats=self.use_global_stats, eps=self.eps)

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        statistics = self._plain().blob_shapes(bottoms)
        return (*statistics, *statistics[:1] * 2) if self.scale_bias else statistics

    def blob_fillers(self, count: int) -> tuple[Filler, ...]:
        scale = self.scale_filler or Filler(value=1.0)
        return (*(Filler(),) * 3, scale, self.bias_filler or Filler())[:count]

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        self._plain().check(bottoms, tops)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        (top,) = self._plain().compute(bottoms, blobs[:3], tops)
        if not self.scale_bias:
            return (top,)
        scale, bias = (along_channels(blob, top.dim()) for blob in blobs[3:])
        return (top * scale + bias,)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        if float(blobs[2]) not in (0, 1):
            raise ShapeMismatchError(f"needs a third blob of 0 or 1, got {float(blobs[2])}")
        if len(bottoms[0]) != 4 or not self.scale_bias or self.use_global_stats is False:
            return super().module(bottoms, blobs, tops)
        twin = nn.BatchNorm2d(bottoms[0][1], self.eps, 1 - self.moving_average_fraction)
        twin.running_mean, twin.running_var = normalized_statistics(blobs[:3])
        twin.weight, twin.bias = (nn.Parameter(blob) for blob in blobs[3:])
        return twin

    def blobs_of(self, module: nn.Module) -> tuple[Tensor, ...]:
        if not isinstance(module, nn.BatchNorm2d):
            return super().blobs_of(module)
        mean, variance = module.running_mean, module.running_var
        assert mean is not None and variance is not None  # module() always makes them
        return mean, variance, torch.ones_like(mean[:1]), module.weight, module.bias


@register
@dataclass(frozen=True, kw_only=True)
class SpatialDropout(Neuron):
    """Drop whole channels in TRAIN (ENet's); compute the identity in TEST.

    In TRAIN the fork scales kept elements by 1 / (1 - dropout_ratio), but only those that its loop
    reaches; here all of them.
    """

    type = "SpatialDropout"
    parameter = ("spatial_dropout_param", 155)
    message = "SpatialDropoutParameter"
    dialects = ("enet", "intel")
    evidence = Evidence.SOURCE

    dropout_ratio: float = field(1, "float", 0.5)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        needs_dropout_ratio(self.dropout_ratio)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (bottoms[0],)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return nn.Dropout2d(self.dropout_ratio)
