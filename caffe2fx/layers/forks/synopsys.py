"""BVLC's layers as Synopsys extended them, and layers of TensorFlow's that only this fork has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from math import floor, prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.activation import Neuron
from caffe2fx.layers.affine import along_channels
from caffe2fx.layers.detection import DetectionOutput
from caffe2fx.layers.forks.position import scale_up
from caffe2fx.layers.forks.shape import needs_rank
from caffe2fx.layers.layer import MANY, Evidence, Layer
from caffe2fx.layers.normalization import BatchNorm
from caffe2fx.layers.registry import register
from caffe2fx.layers.shape import Reshape
from caffe2fx.messages.common import Engine
from caffe2fx.messages.message import Shape, field, forked, required

SYNOPSYS: tuple[str, ...] = ("synopsys",)


@register
@dataclass(frozen=True, kw_only=True)
class ReLUBounded(Neuron):
    """A ReLU cut at 6 (`relu6`) or at `maximum` from above, at `minimum` from below; 0 is none."""

    type = "ReLU"
    parameter = ("relu_param", 123)
    message = "ReLUParameter"
    dialects = SYNOPSYS
    evidence = Evidence.SOURCE

    negative_slope: float = field(1, "float", 0.0)
    engine: Engine = field(2, Engine, Engine.DEFAULT)
    relu6: bool = forked("bool", False)
    minimum: float = forked("float", 0.0)
    maximum: float = forked("float", 0.0)

    @classmethod
    def matches_fields(cls, said: Set[str]) -> bool:
        return bool(said & {"relu6", "minimum", "maximum"})

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        top = F.leaky_relu(bottoms[0], self.negative_slope)
        top = top.clamp(max=6) if self.relu6 else top
        top = top.clamp(max=self.maximum) if self.maximum > 0 else top
        return (top.clamp(min=self.minimum) if self.minimum else top,)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        if (self.negative_slope, self.minimum, self.maximum) == (0, 0, 0):
            return nn.ReLU6() if self.relu6 else nn.ReLU()
        return super().module(bottoms, blobs, tops)


@register
@dataclass(frozen=True, kw_only=True)
class ReshapeShuffled(Reshape):
    """A Reshape of (N, C, H, W) to (N, C / r^2, r H, r W) that moves pixels as PixelShuffle does.

    `pixelshuffler` only says that it does, if it is not 1: r follows from the shape.
    """

    dialects = SYNOPSYS
    evidence = Evidence.SOURCE

    pixelshuffler: int = forked("int32", 1)

    @classmethod
    def matches_fields(cls, said: Set[str]) -> bool:
        return "pixelshuffler" in said

    def shares(self, bottoms: int, tops: int) -> bool:
        return self.pixelshuffler == 1

    def _factor(self, bottom: Shape) -> int:
        return self.top_shapes([bottom], 1)[0][2] // bottom[2]

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if self.pixelshuffler == 1:
            return
        needs_rank(bottoms[0], 4)
        top = self.top_shapes(bottoms, tops)[0]
        r = top[2] // bottoms[0][2] if len(top) == 4 else 0
        n, c, h, w = bottoms[0]
        if r < 1 or top != (n, c // r**2, h * r, w * r):
            raise ShapeMismatchError(f"needs (N, C / r^2, r H, r W) of {bottoms[0]}, got {top}")

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        if self.pixelshuffler == 1:
            return super().compute(bottoms, blobs, tops)
        return (F.pixel_shuffle(bottoms[0], self._factor(tuple(bottoms[0].shape))),)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        if self.pixelshuffler == 1:
            return super().module(bottoms, blobs, tops)
        return nn.PixelShuffle(self._factor(bottoms[0]))


@register
@dataclass(frozen=True, kw_only=True)
class BatchNormEps(BatchNorm):
    """BatchNorm that, without `add_eps_before_sqrt`, divides by sqrt(var) + eps.

    `icnet` only says that the fork may reuse memory.
    """

    dialects = SYNOPSYS
    evidence = Evidence.SOURCE

    add_eps_before_sqrt: bool = forked("bool", True)
    icnet: bool = forked("bool", False)

    @classmethod
    def matches_fields(cls, said: Set[str]) -> bool:
        return bool(said & {"add_eps_before_sqrt", "icnet"})

    def _normalized(self, bottom: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        if self.add_eps_before_sqrt:
            return super()._normalized(bottom, mean, variance)
        centred = bottom - along_channels(mean, bottom.dim())
        return centred / along_channels(variance.sqrt() + self.eps, bottom.dim())

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        if self.add_eps_before_sqrt:
            return super().module(bottoms, blobs, tops)
        return Layer.module(self, bottoms, blobs, tops)


@register
@dataclass(frozen=True, kw_only=True)
class UpsampleDarknet(Layer):
    """Every number `stride` x `stride` times: nearest neighbour."""

    type = "UpsampleDarknet"
    parameter = ("upsample_darknet_param", 209)
    message = "UpsampleDarknetParameter"
    dialects = SYNOPSYS
    evidence = Evidence.SOURCE

    stride: int = field(1, "int32", 1)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        needs_rank(bottoms[0], 4)
        if self.stride < 1:
            raise ShapeMismatchError(f"needs a stride of 1 or more, got {self.stride}")

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (scale_up(bottoms[0], self.stride, self.stride),)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return nn.Upsample(scale_factor=self.stride, mode="nearest")


def _side_axes(data_format: str) -> tuple[int, int]:
    """Which axes are height and width."""
    axes = {"NHWC": (1, 2), "NCHW": (2, 3)}
    if data_format not in axes:
        raise ShapeMismatchError(f"needs data_format NHWC or NCHW, got {data_format!r}")
    return axes[data_format]


@register
@dataclass(frozen=True, kw_only=True)
class DepthToSpace(Layer):
    """Channels to squares of `block_size`: of NHWC as in TensorFlow, of NCHW as in ONNX (DCR)."""

    type = "DepthToSpace"
    parameter = ("depth_to_space_param", 208)
    message = "DepthToSpaceParameter"
    dialects = SYNOPSYS
    evidence = Evidence.SOURCE

    block_size: int = required(1, "int32")
    data_format: str = field(2, "string", "NHWC")

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        needs_rank(bottoms[0], 4)
        channels = bottoms[0][3 if _side_axes(self.data_format) == (1, 2) else 1]
        if self.block_size < 1 or channels % self.block_size**2:
            raise ShapeMismatchError(
                f"needs channels divisible by block_size^2, got {channels} and {self.block_size}"
            )

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        b = self.block_size
        if _side_axes(self.data_format) == (1, 2):
            n, h, w, _ = bottoms[0].shape
            parts = bottoms[0].reshape(n, h, w, b, b, -1).permute(0, 1, 3, 2, 4, 5)
            return (parts.reshape(n, h * b, w * b, -1),)
        n, _, h, w = bottoms[0].shape
        parts = bottoms[0].reshape(n, b, b, -1, h, w).permute(0, 3, 4, 1, 5, 2)
        return (parts.reshape(n, -1, h * b, w * b),)


@dataclass(frozen=True, kw_only=True)
class _Resize(Layer):
    """Base of the two ways to resize height and width: to `output_*`, or by `scale_*`."""

    dialects = SYNOPSYS

    align_corners: bool = field(1, "bool", False)
    output_height: int | None = field(2, "int32")
    output_width: int | None = field(3, "int32")
    data_format: str = field(4, "string", "NHWC")
    scale_height: float = field(5, "float", 1.0)
    scale_width: float = field(6, "float", 1.0)
    half_pixel_centers: bool = field(7, "bool", False)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        needs_rank(bottoms[0], 4)
        if self.align_corners + self._shifts() > 1:
            raise ShapeMismatchError(f"needs one way to place pixels at most, got {self}")
        if min(self._sizes(bottoms[0])) < 1:
            raise ShapeMismatchError(f"needs sizes of 1 or more, got {self} of {bottoms[0]}")

    def _shifts(self) -> int:
        """How many ways are named that count from the middles of pixels."""
        return int(self.half_pixel_centers)

    def _sizes(self, bottom: Shape) -> tuple[int, ...]:
        high, wide = (bottom[axis] for axis in _side_axes(self.data_format))
        # As the fork does: in float32.
        scaled = (float(np.float32(high) * np.float32(self.scale_height)),
                  float(np.float32(wide) * np.float32(self.scale_width)))  # fmt: skip
        said = self.output_height, self.output_width
        return tuple(floor(by) if to is None else to for by, to in zip(scaled, said, strict=True))

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        top = list(bottoms[0])
        for axis, size in zip(_side_axes(self.data_format), self._sizes(bottoms[0]), strict=True):
            top[axis] = size
        return (tuple(top),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        top, sizes = bottoms[0], self._sizes(tuple(bottoms[0].shape))
        for axis, size in zip(_side_axes(self.data_format), sizes, strict=True):
            top = self._along(top, axis, size)
        return (top,)

    def _along(self, bottom: Tensor, axis: int, size: int) -> Tensor:
        """The bottom resized along one axis."""
        raise NotImplementedError

    def _step(self, before: int, size: int) -> Any:
        """How far the pixels of the top are from each other in the bottom."""
        if self.align_corners and size > 1:
            return np.float32(before - 1) / np.float32(size - 1)
        return np.float32(before) / np.float32(size)


def _taken(bottom: Tensor, axis: int, index: Any) -> Tensor:
    return bottom.index_select(axis, torch.as_tensor(index.astype(np.int64), device=bottom.device))


@register
@dataclass(frozen=True, kw_only=True)
class ResizeNearestNeighbor(_Resize):
    """The pixel under each place: floor(i * step), round with align_corners, floor((i + .5) step)
    with half_pixel_centers, and floor((i + .5) * step - .5) with half_pixel_onnx.
    """

    type = "ResizeNearestNeighbor"
    evidence = Evidence.SOURCE
    parameter = ("resize_nearest_neighbor_param", 210)
    message = "ResizeNearestNeighborParameter"

    half_pixel_onnx: bool = field(8, "bool", False)

    def _shifts(self) -> int:
        return self.half_pixel_centers + self.half_pixel_onnx

    def _along(self, bottom: Tensor, axis: int, size: int) -> Tensor:
        before = bottom.shape[axis]
        step, half = self._step(before, size), np.float32(0.5)
        places = np.arange(size, dtype=np.float32)
        places = (places + half) * step if self._shifts() else places * step
        places = places - half if self.half_pixel_onnx else places
        places = places + half if self.align_corners else places  # roundf of what is not negative
        return _taken(bottom, axis, np.floor(places).clip(0, before - 1))


@register
@dataclass(frozen=True, kw_only=True)
class ResizeBilinear(_Resize):
    """Between the two pixels at each place i * step, or (i + .5) * step - .5 from the middles.

    With pytorch_half_pixel a size of 1 takes the first pixel.
    """

    type = "ResizeBilinear"
    evidence = Evidence.SOURCE
    parameter = ("resize_bilinear_param", 226)
    message = "ResizeBilinearParameter"

    pytorch_half_pixel: bool = field(8, "bool", False)

    def _shifts(self) -> int:
        return self.half_pixel_centers + self.pytorch_half_pixel

    def _along(self, bottom: Tensor, axis: int, size: int) -> Tensor:
        before = bottom.shape[axis]
        step, half = self._step(before, size), np.float32(0.5)
        places = np.arange(size, dtype=np.float32)
        places = (places + half) * step - half if self._shifts() else places * step
        places = places - places - half if self.pytorch_half_pixel and size == 1 else places
        low, high = np.floor(places).clip(0, None), np.ceil(places).clip(0, before - 1)
        lower = _taken(bottom, axis, low)
        if (low == high).all():
            return lower
        upper = _taken(bottom, axis, high)
        share = torch.as_tensor(places - np.floor(places)).to(bottom)
        share = share.reshape([-1 if at == axis else 1 for at in range(bottom.dim())])
        return lower + (upper - lower) * share


@register
@dataclass(frozen=True, kw_only=True)
class DetectionOutputHeads(DetectionOutput):
    """DetectionOutput of heads that no Permute and no Concat has gone over, of one image.

    The bottoms are the scores of all `nbottom` heads, their locations, and the default boxes of
    all heads or of each. A head is flat (N, boxes * numbers); with `no_permute` its scores are
    (N, classes, shapes, H * W) and its locations (N, shapes * 4, H, W), while the default boxes
    stay ordered by place and then by shape.
    """

    dialects = SYNOPSYS
    evidence = Evidence.SOURCE
    bottoms = (4, MANY)

    no_permute: bool = forked("bool", False)
    nbottom: int = forked("int32", 6)

    @classmethod
    def matches_fields(cls, said: Set[str]) -> bool:
        return bool(said & {"no_permute", "nbottom"})

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        n, count = self.nbottom, len(bottoms)
        wanted = (2 * n + 1,) if self.no_permute else (2 * n + 1, 3 * n)
        if n < 1 or count not in wanted:
            ways = " or ".join(map(str, wanted))
            raise ShapeMismatchError(f"needs {ways} bottoms for nbottom {n}, got {count}")
        if any(shape[0] != 1 for shape in bottoms):
            raise ShapeMismatchError(f"needs one image, got {[shape[0] for shape in bottoms]}")
        if self.no_permute:
            self._check_heads(bottoms)
        fields = {name: getattr(self, name) for name, _ in DetectionOutput.wires()}
        DetectionOutput(**fields).check(self._joined_shapes(bottoms), tops)

    def _check_heads(self, bottoms: Sequence[Shape]) -> None:
        n = self.nbottom
        for scores, places in zip(bottoms[:n], bottoms[n : 2 * n], strict=True):
            needs_rank(scores, 4)
            needs_rank(places, 4)
            shapes = places[1] // 4 // self._sets()
            if tuple(scores[1:]) != (self.num_classes, shapes, places[2] * places[3]):
                raise ShapeMismatchError(
                    f"needs scores (1, classes, shapes, H * W) for locations {tuple(places)}, "
                    f"got {tuple(scores)}"
                )

    def _joined_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        n = self.nbottom
        scores, places = (sum(prod(shape[1:]) for shape in bottoms[at : at + n]) for at in (0, n))
        return [(1, places), (1, scores), (1, 2, sum(shape[2] for shape in bottoms[2 * n :]))]

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        n = self.nbottom
        scores, places, priors = bottoms[:n], bottoms[n : 2 * n], torch.cat([*bottoms[2 * n :]], 2)
        if self.no_permute:
            priors = torch.cat([*self._ordered(priors, places)], 2)
            scores = [head.permute(0, 2, 3, 1) for head in scores]
            places = [self._by_place(head) for head in places]
        flat = [torch.cat([head.flatten(1) for head in heads], 1) for heads in (places, scores)]
        return super().compute((*flat, priors), blobs, tops)

    def _by_place(self, head: Tensor) -> Tensor:
        """(1, shapes * sets * 4, H, W) as (1, shapes, H * W, sets * 4)."""
        return head.reshape(1, -1, self._sets() * 4, head[0, 0].numel()).transpose(2, 3)

    def _ordered(self, priors: Tensor, places: Sequence[Tensor]) -> Iterator[Tensor]:
        """The default boxes of each head by shape and then by place; the variances as they are."""
        at = 0
        for head in places:
            count = head.numel() // self._sets()
            shapes = head.shape[1] // 4 // self._sets()
            own = priors[:, :, at : at + count]
            boxes = own[:, :1].reshape(1, 1, -1, shapes, 4).transpose(2, 3).reshape(1, 1, -1)
            yield torch.cat([boxes, own[:, 1:]], 1)
            at += count
