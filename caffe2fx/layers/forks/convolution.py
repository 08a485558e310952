"""Convolutions and pooling of Caffe's forks: one filter a channel, and video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from google.protobuf.message import Message as ProtoMessage
from torch import Tensor, nn

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.convolution import Convolution, Deconvolution, Filters, Windows
from caffe2fx.layers.forks.shape import SSD, needs_rank
from caffe2fx.layers.layer import Evidence, Layer
from caffe2fx.layers.pooling import LOWEST, PoolMethod
from caffe2fx.layers.registry import register
from caffe2fx.messages.message import Shape, field, forked


@register
@dataclass(frozen=True, kw_only=True)
class DepthwiseConvolution(Convolution):
    """Convolve by another implementation; `group` states that it is depthwise."""

    type = "DepthwiseConvolution"
    dialects = ("mobilenet", *SSD)
    evidence = Evidence.SOURCE


class _Delegating(Filters):
    """Base of the layers that delegate to a convolution with other parameters."""

    def plain(self, bottom: Shape) -> Filters:
        """Return the equivalent convolution for a bottom of that shape."""
        raise NotImplementedError

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        Layer.check(self, bottoms, tops)
        self.plain(bottoms[0]).check(bottoms, tops)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return self.plain(bottoms[0]).top_shapes(bottoms, tops)

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        return self.plain(bottoms[0]).blob_shapes(bottoms)

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        return self.plain(bottoms[0]).accumulation_length(bottoms)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return self.plain(tuple(bottoms[0].shape)).compute(bottoms, blobs, tops)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return self.plain(bottoms[0]).module(bottoms, blobs, tops)


def _as(kind: type[Filters], layer: Windows, **changes: Any) -> Filters:
    """Return a layer of `kind` with those fields of `layer` that both have, and `changes`."""
    values = {item.name: getattr(layer, item.name) for item in fields(kind)}
    return kind(**{**values, **changes})


@register
@dataclass(frozen=True, kw_only=True)
class ConvolutionDepthwise(_Delegating):
    """Convolve by one filter per channel, whatever `group` is: weights (C, 1, k...)."""

    type = "ConvolutionDepthwise"
    aliases = ("convolution_depthwise_param",)
    dialects = ("mobilenet", "tpu_mlir", "rknn")

    def fill(self, proto: ProtoMessage) -> None:
        """Write stride and pad even at their defaults: the fork crashes without them."""
        super().fill(proto)
        if not self.stride and self.stride_h is None:
            proto.stride.append(1)  # type: ignore[attr-defined]
        if not self.pad and self.pad_h is None:
            proto.pad.append(0)  # type: ignore[attr-defined]

    def plain(self, bottom: Shape) -> Filters:
        needs_rank(bottom, 4)
        if self.num_output != bottom[1]:
            raise ShapeMismatchError(f"needs a num_output of {bottom[1]}, got {self.num_output}")
        return _as(Convolution, self, group=bottom[1])


@dataclass(frozen=True, kw_only=True)
class _Video(_Delegating):
    """Base of C3D's convolutions: bottoms of (N, C, frames, H, W), one kernel size for H and W.

    The bias is a blob of five axes.
    """

    dialects = ("c3d",)
    evidence = Evidence.SOURCE

    kernel_depth: int = forked("uint32", absent=1)
    temporal_stride: int = forked("uint32", 1)
    temporal_pad: int = forked("uint32", 0)

    def _plain(self, kind: type[Filters], bottom: Shape) -> Filters:
        needs_rank(bottom, 5)
        kernel, stride, pad, _ = self.geometry(1)
        return _as(
            kind, self,
            kernel_size=(self.kernel_depth, *kernel * 2),
            stride=(self.temporal_stride, *stride * 2),
            pad=(self.temporal_pad, *pad * 2),
        )  # fmt: skip

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        weight, *bias = super().blob_shapes(bottoms)
        return (weight, *((1, 1, 1, 1, *shape) for shape in bias))

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        flat = [blob if index == 0 else blob.reshape(-1) for index, blob in enumerate(blobs)]
        return super().compute(bottoms, flat, tops)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        flat = [blob if index == 0 else blob.reshape(-1) for index, blob in enumerate(blobs)]
        return super().module(bottoms, flat, tops)

    def blobs_of(self, module: nn.Module) -> tuple[Tensor, ...]:
        weight, *bias = super().blobs_of(module)
        return (weight, *(blob.reshape(1, 1, 1, 1, -1) for blob in bias))


@register
@dataclass(frozen=True, kw_only=True)
class Convolution3D(_Video):
    """Convolve over frames, rows and columns (C3D's)."""

    type = "Convolution3D"

    def plain(self, bottom: Shape) -> Filters:
        return self._plain(Convolution, bottom)


@register
@dataclass(frozen=True, kw_only=True)
class Deconvolution3D(_Video):
    """Compute the transpose of a convolution over frames, rows and columns (C3D's)."""

    type = "Deconvolution3D"

    def plain(self, bottom: Shape) -> Filters:
        return self._plain(Deconvolution, bottom)


@register
@dataclass(frozen=True, kw_only=True)
class Pooling3D(Layer):
    """Pool over frames, rows and columns, rounded as Pooling is (C3D's).

    An AVE window divides by its size clipped to the padded input.
    """

    type = "Pooling3D"
    parameter = ("pooling_param", 121)
    message = "PoolingParameter"
    dialects = ("c3d",)
    evidence = Evidence.SOURCE

    pool: PoolMethod = field(1, PoolMethod, PoolMethod.MAX)
    pad: int = field(4, "uint32", 0)
    kernel_size: int | None = field(2, "uint32")
    stride: int = field(3, "uint32", 1)
    kernel_depth: int = forked("uint32", absent=1)
    temporal_stride: int = forked("uint32", 1)
    temporal_pad: int = forked("uint32", 0)

    def _geometry(self) -> tuple[Shape, Shape, Shape]:
        kernel = (self.kernel_depth, *(self.kernel_size or 0,) * 2)
        stride = (self.temporal_stride, *(self.stride,) * 2)
        return kernel, stride, (self.temporal_pad, *(self.pad,) * 2)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        needs_rank(bottoms[0], 5)
        kernel, stride, pad = self._geometry()
        if min(*kernel, *stride) < 1:
            raise ShapeMismatchError(f"needs kernel and stride >= 1, got {kernel} and {stride}")
        if any(p >= k for p, k in zip(pad, kernel, strict=True)):
            raise ShapeMismatchError(f"needs pad < kernel, got pad {pad} and kernel {kernel}")
        if self.pool not in (PoolMethod.MAX, PoolMethod.AVE):
            raise ShapeMismatchError("needs MAX or AVE, got STOCHASTIC")
        sizes = zip(bottoms[0][2:], *self._geometry(), strict=True)
        if any(k > size + 2 * p for size, k, _, p in sizes):
            raise ShapeMismatchError(f"needs an input of at least its kernel, got {bottoms[0]}")

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        sizes = zip(bottoms[0][2:], *self._geometry(), strict=True)
        return ((*bottoms[0][:2], *(self._size(*axis) for axis in sizes)),)

    def _size(self, size: int, kernel: int, stride: int, pad: int) -> int:
        steps = -(-(size + 2 * pad - kernel) // stride)
        outside = (self.pad or self.temporal_pad) and steps * stride >= size + pad
        return steps if outside else steps + 1

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        return prod(self._geometry()[0]) if self.pool is PoolMethod.AVE else 1

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        bottom = bottoms[0]
        out = self.top_shapes([tuple(bottom.shape)], tops)[0][2:]
        kernel, stride, pad = self._geometry()
        pads: list[int] = []
        for size, k, s, p, count in zip(bottom.shape[2:], kernel, stride, pad, out, strict=True):
            pads = [p, max((count - 1) * s + k - p - size, 0), *pads]
        if self.pool is PoolMethod.MAX:
            top = F.max_pool3d(F.pad(bottom, pads, value=LOWEST), kernel, stride)
            return (top[:, :, : out[0], : out[1], : out[2]],)
        sums = F.avg_pool3d(F.pad(bottom, pads), kernel, stride, divisor_override=1)
        return (sums[:, :, : out[0], : out[1], : out[2]] / self._divisor(bottom, out),)

    def _divisor(self, bottom: Tensor, out: Shape) -> Tensor:
        whole = torch.ones((), dtype=bottom.dtype, device=bottom.device)
        axes = zip(bottom.shape[2:], *self._geometry(), out, strict=True)
        for size, k, s, p, count in axes:
            starts = torch.arange(count, dtype=bottom.dtype, device=bottom.device) * s - p
            whole = whole[..., None] * ((starts + k).clamp(max=size + p) - starts)
        return whole
