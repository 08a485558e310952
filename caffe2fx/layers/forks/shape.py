"""Layers of Caffe's forks that move elements without changing them."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from enum import IntEnum

import torch.nn.functional as F
from torch import Tensor, nn

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.layer import MANY, Evidence, Layer, axis_of, of_four_axes
from caffe2fx.layers.registry import register
from caffe2fx.messages.message import Shape, field, repeated, required

# Forks that derive from SSD's, and those that took its layers over.
SSD = ("ssd", "nvidia", "intel", "yolo", "synopsys", "brocolli", "tpu_mlir", "opencv")


def needs_rank(bottom: Shape, rank: int) -> None:
    """Raise ShapeMismatchError unless the bottom has that many axes."""
    if len(bottom) != rank:
        raise ShapeMismatchError(f"needs a {rank}-D bottom, got {bottom}")


@register
@dataclass(frozen=True, kw_only=True)
class Permute(Layer):
    """Permute the axes to `order`; those it does not name follow, ascending."""

    type = "Permute"
    parameter = ("permute_param", 202)
    message = "PermuteParameter"
    dialects = SSD

    order: Shape = repeated(1, "uint32")

    def _order(self, rank: int) -> Shape:
        return (*self.order, *(axis for axis in range(rank) if axis not in self.order))

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if sorted(self._order(len(bottoms[0]))) != list(range(len(bottoms[0]))):
            raise ShapeMismatchError(f"needs distinct axes of {bottoms[0]}, got {self.order}")

    def shares(self, bottoms: int, tops: int) -> bool:
        """Return whether `order` changes nothing, so that Caffe shares the bottom's memory."""
        return self.order == tuple(range(len(self.order)))

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (bottoms[0].permute(self._order(bottoms[0].dim())),)


@register
@dataclass(frozen=True, kw_only=True)
class Transpose(Layer):
    """Permute the axes, all of them named: top axis i is bottom axis dim[i]."""

    type = "Transpose"
    parameter = ("transpose_param", 8266720)
    message = "TransposeParameter"
    dialects = ("ocr", "rknn")
    evidence = Evidence.DOCUMENT

    dim: Shape = repeated(1, "int32")

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if sorted(self.dim) != list(range(len(bottoms[0]))):
            raise ShapeMismatchError(f"needs each axis of {bottoms[0]} once, got {self.dim}")

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (bottoms[0].permute(self.dim),)


@register
@dataclass(frozen=True, kw_only=True)
class ShuffleChannel(Layer):
    """Transpose the channels as a matrix of `group` rows; the top is 4-D, as MVN's."""

    type = "ShuffleChannel"
    parameter = ("shuffle_channel_param", 166)
    message = "ShuffleChannelParameter"
    dialects = ("shufflenet", *SSD)

    group: int = field(1, "uint32", 1)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if self.group < 1 or bottoms[0][1] % self.group:
            raise ShapeMismatchError(
                f"needs a group that divides {bottoms[0][1]} channels, got {self.group}"
            )
        if len(bottoms[0]) > 4:
            raise ShapeMismatchError(f"needs a bottom of at most 4 axes, got {bottoms[0]}")

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return (of_four_axes(bottoms[0]),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        bottom = bottoms[0]
        batch, channels, *rest = bottom.shape
        parted = bottom.reshape(batch, self.group, channels // self.group, *rest)
        shape = self.top_shapes([tuple(bottom.shape)], tops)[0]
        return (parted.transpose(1, 2).reshape(shape),)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        if len(bottoms[0]) != 4:
            return super().module(bottoms, blobs, tops)
        return nn.ChannelShuffle(self.group)


@register
@dataclass(frozen=True, kw_only=True)
class Reverse(Layer):
    """Flip the axes in `axis`."""

    type = "Reverse"
    parameter = ("reverse_param", 157)
    message = "ReverseParameter"
    dialects = ("ascend", "synopsys", "tpu_mlir")

    axis: Shape = repeated(1, "int32")

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if not self.axis:
            raise ShapeMismatchError("needs an axis, got none")
        for axis in self.axis:
            axis_of(axis, len(bottoms[0]))

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (bottoms[0].flip(self.axis),)


class _Padding(Layer):
    """Base of the layers that pad H and W."""

    def border(self) -> tuple[int, int, int, int]:
        """Return the pads in torch's order: left, right, top, bottom."""
        raise NotImplementedError

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        needs_rank(bottoms[0], 4)
        if min(self.border()) < 0:
            raise ShapeMismatchError(f"needs pads of 0 or more, got {self.border()}")


@register
@dataclass(frozen=True, kw_only=True)
class Padding(_Padding):
    """Pad H and W with `pad_value`."""

    type = "Padding"
    parameter = ("padding_param", 310)
    message = "PaddingParameter"
    dialects = ("tpu_mlir",)

    pad_l: int = field(1, "int32", 0)
    pad_r: int = field(2, "int32", 0)
    pad_t: int = field(3, "int32", 0)
    pad_b: int = field(4, "int32", 0)
    pad_value: int = field(5, "int32", 0)

    def border(self) -> tuple[int, int, int, int]:
        return self.pad_l, self.pad_r, self.pad_t, self.pad_b

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (F.pad(bottoms[0], self.border(), value=self.pad_value),)


class PadType(IntEnum):
    """Selects the values in the padding."""

    CONSTANT = 0
    REPLICATE = 1
    REFLECT = 2


@register
@dataclass(frozen=True, kw_only=True)
class Pad(_Padding):
    """Pad H and W: with a constant, the nearest pixel, or the image mirrored at its edge."""

    type = "Pad"
    parameter = ("pad_param", 504)
    message = "PadParameter"
    dialects = ("brocolli",)
    evidence = Evidence.SOURCE

    pad_type: PadType = field(1, PadType, PadType.CONSTANT)
    pad_u: int = field(2, "int32", 0)
    pad_d: int = field(3, "int32", 0)
    pad_l: int = field(4, "int32", 0)
    pad_r: int = field(5, "int32", 0)
    pad_value: float = field(6, "float", 0.0)

    def border(self) -> tuple[int, int, int, int]:
        return self.pad_l, self.pad_r, self.pad_u, self.pad_d

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        if self.pad_type is PadType.CONSTANT:
            return (F.pad(bottoms[0], self.border(), value=self.pad_value),)
        return (F.pad(bottoms[0], self.border(), mode=self.pad_type.name.lower()),)


@register
@dataclass(frozen=True, kw_only=True)
class PadND(Layer):
    """Pad each axis with a constant: `paddings` holds (before, after) for each axis, in order."""

    type = "Pad"
    parameter = ("pad_param", 224)
    message = "PadParameter"
    dialects = ("synopsys",)
    evidence = Evidence.SOURCE

    paddings: Shape = repeated(1, "uint32")
    constant_values: float = field(2, "float", 0.0)

    @classmethod
    def matches_fields(cls, names: Set[str]) -> bool:
        return "paddings" in names

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if len(self.paddings) != 2 * len(bottoms[0]):
            raise ShapeMismatchError(
                f"needs {2 * len(bottoms[0])} paddings for {bottoms[0]}, got {self.paddings}"
            )

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        pairs = zip(self.paddings[::2], self.paddings[1::2], strict=True)
        last_first = [side for pair in reversed(list(pairs)) for side in pair]
        return (F.pad(bottoms[0], last_first, value=self.constant_values),)


@register
@dataclass(frozen=True, kw_only=True)
class PixelShuffle(Layer):
    """Move groups of r * r channels to r times the height and width."""

    type = "PixelShuffle"
    parameter = ("pixelshuffle_param", 507)
    message = "PixelShuffleParameter"
    dialects = ("brocolli",)
    evidence = Evidence.SOURCE

    upscale_factor: int = required(1, "int32")

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        needs_rank(bottoms[0], 4)
        factor = self.upscale_factor
        if factor < 1 or bottoms[0][1] % factor**2:
            raise ShapeMismatchError(f"needs channels divisible by {factor}^2, got {bottoms[0][1]}")

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (F.pixel_shuffle(bottoms[0], self.upscale_factor),)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return nn.PixelShuffle(self.upscale_factor)


@register
@dataclass(frozen=True, kw_only=True)
class Squeeze(Layer):
    """Remove the axes in `axis`, each of size 1; all axes of size 1 if none is named."""

    type = "Squeeze"
    parameter = ("squeeze_param", 241)
    message = "SqueezeParameter"
    dialects = ("synopsys",)
    evidence = Evidence.SOURCE
    shares_memory = "always"

    axis: Shape = repeated(1, "int32")

    def _axes(self, bottom: Shape) -> set[int]:
        if not self.axis:
            return {axis for axis, size in enumerate(bottom) if size == 1}
        return {axis_of(axis, len(bottom)) for axis in self.axis}

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if any(bottoms[0][axis] != 1 for axis in self._axes(bottoms[0])):
            raise ShapeMismatchError(f"needs axes of size 1, got {self.axis} of {bottoms[0]}")

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        gone = self._axes(bottoms[0])
        return (tuple(size for axis, size in enumerate(bottoms[0]) if axis not in gone),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (bottoms[0].reshape(self.top_shapes([tuple(bottoms[0].shape)], tops)[0]),)


@register
@dataclass(frozen=True, kw_only=True)
class Unsqueeze(Layer):
    """Insert an axis of size 1 at `dim`."""

    type = "Unsqueeze"
    parameter = ("unsqueeze_param", 502)
    message = "UnsqueezeParameter"
    dialects = ("brocolli",)
    evidence = Evidence.SOURCE
    shares_memory = "always"

    dim: int = required(1, "int32")

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        axis_of(self.dim, len(bottoms[0]) + 1)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (bottoms[0].unsqueeze(self.dim),)


@register
@dataclass(frozen=True, kw_only=True)
class CropCenter(Layer):
    """Cut `crop_size` elements from both ends of each axis."""

    type = "CropCenter"
    parameter = ("crop_center_param", 149)
    message = "CropCenterParameter"
    dialects = ("waifu2x",)
    evidence = Evidence.SOURCE

    crop_size: Shape = repeated(1, "uint32")

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if len(self.crop_size) != len(bottoms[0]):
            raise ShapeMismatchError(
                f"needs {len(bottoms[0])} crop_size for {bottoms[0]}, got {self.crop_size}"
            )
        if min(self.top_shapes(bottoms, tops)[0]) < 1:
            raise ShapeMismatchError(f"needs a crop within {bottoms[0]}, got {self.crop_size}")

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        sides = zip(bottoms[0], self.crop_size, strict=True)
        return (tuple(size - 2 * crop for size, crop in sides),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        top = bottoms[0]
        for axis, crop in enumerate(self.crop_size):
            top = top.narrow(axis, crop, top.shape[axis] - 2 * crop)
        return (top,)


@register
@dataclass(frozen=True, kw_only=True)
class Gather(Layer):
    """Gather the bottoms of all processes that train together: the bottoms as they are for one."""

    type = "Gather"
    message = ""
    dialects = ("yjxiong",)
    evidence = Evidence.SOURCE
    bottoms = (1, MANY)
    tops = (1, MANY)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if len(bottoms) != tops:
            raise ShapeMismatchError(f"needs one top a bottom, got {len(bottoms)} and {tops}")

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return tuple(map(tuple, bottoms))

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return tuple(bottom.clone() for bottom in bottoms)
