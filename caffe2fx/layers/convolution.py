"""Convolution, its transpose Deconvolution, and Im2col: layers over windows of a bottom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import gcd, prod
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.layer import MANY, Layer, axis_of, needs_one, torch_module
from caffe2fx.layers.registry import register
from caffe2fx.messages.common import Engine, Filler
from caffe2fx.messages.message import Shape, field, hint, once_per_axis, repeated

_CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_DECONVOLVE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


class AlgorithmSeeker(IntEnum):
    """Selects how NVIDIA's fork chooses one of cuDNN's algorithms."""

    GET = 0
    FINDEX = 1


@dataclass(frozen=True, kw_only=True)
class Windows(Layer):
    """Base of Convolution, Deconvolution and Im2col: their one message and its geometry."""

    parameter = ("convolution_param", 106)
    message = "ConvolutionParameter"

    num_output: int = field(1, "uint32", absent=0)
    bias_term: bool = field(2, "bool", True)
    pad: Shape = repeated(3, "uint32")
    kernel_size: Shape = repeated(4, "uint32")
    stride: Shape = repeated(6, "uint32")
    dilation: Shape = repeated(18, "uint32")
    pad_h: int | None = field(9, "uint32", 0, absent=None)
    pad_w: int | None = field(10, "uint32", 0, absent=None)
    kernel_h: int | None = field(11, "uint32")
    kernel_w: int | None = field(12, "uint32")
    stride_h: int | None = field(13, "uint32")
    stride_w: int | None = field(14, "uint32")
    group: int = field(5, "uint32", 1)
    weight_filler: Filler | None = field(7, Filler)
    bias_filler: Filler | None = field(8, Filler)
    engine: Engine = field(15, Engine, Engine.DEFAULT)
    axis: int = field(16, "int32", 1)
    force_nd_im2col: bool = field(17, "bool", False)
    cudnn_convolution_algo_seeker: AlgorithmSeeker | None = hint(AlgorithmSeeker)  # NVIDIA's
    conv_algos_override: str | None = hint("string")  # NVIDIA's
    conv_algorithm: str | None = hint("string")  # Intel's

    def _canonical(self) -> dict[str, Any]:
        kernel = _sides("kernel", self.kernel_size, self.kernel_h, self.kernel_w)
        return {
            **_spell("kernel", "kernel_size", kernel, None),
            **_spell("pad", "pad", _sides("pad", self.pad, self.pad_h, self.pad_w, 0), 0),
            **_spell("stride", "stride", self._strides(), 1),
            "dilation": once_per_axis(self.dilation, 1),
        }

    def _strides(self) -> Shape:
        # Unlike a pad, a side left out would be a stride of 0.
        return _sides("stride", self.stride, self.stride_h, self.stride_w)

    def geometry(self, spatial: int) -> tuple[Shape, Shape, Shape, Shape]:
        """Return kernel, stride, pad and dilation, each with one value for each spatial axis."""
        kernel = _sides("kernel", self.kernel_size, self.kernel_h, self.kernel_w)
        stride = self._strides()
        pad = _sides("pad", self.pad, self.pad_h, self.pad_w, 0)
        return (
            _spread("kernel_size", kernel, spatial, None),
            _spread("stride", stride, spatial, 1),
            _spread("pad", pad, spatial, 0),
            _spread("dilation", self.dilation, spatial, 1),
        )

    def _split(self, bottom: Shape) -> tuple[Shape, int, Shape]:
        """Split a shape into the sizes before `axis`, the channels, and the sizes after it."""
        axis = axis_of(self.axis, len(bottom))
        return bottom[:axis], bottom[axis], bottom[axis + 1 :]

    def _windows(self, sizes: Shape) -> Shape:
        """Compute each axis: floor((in + 2 pad - (dilation (kernel - 1) + 1)) / stride) + 1."""
        out = tuple(
            (size + 2 * pad - (dilation * (kernel - 1) + 1)) // stride + 1
            for size, kernel, stride, pad, dilation in zip(
                sizes, *self.geometry(len(sizes)), strict=True
            )
        )
        if min(out, default=1) < 1:
            raise ShapeMismatchError(f"needs an input of at least its kernel, got {sizes}")
        return out

    def _check_geometry(self, spatial: int) -> None:
        if spatial not in (0, *_CONVOLVE):
            raise ShapeMismatchError(f"needs 0 to 3 axes after its axis, got {spatial}")
        kernel, stride, _, dilation = self.geometry(spatial)
        if min((*kernel, *stride, *dilation), default=1) < 1:
            raise ShapeMismatchError(
                f"needs kernel, stride and dilation of 1 or more, "
                f"got {kernel}, {stride} and {dilation}"
            )


@dataclass(frozen=True, kw_only=True)
class Filters(Windows):
    """Base of Convolution and Deconvolution: filters, groups, several bottoms."""

    bottoms = (1, MANY)
    tops = (1, MANY)
    _twins: ClassVar[Mapping[int, type[nn.Module]]]  # torch's modules by spatial axes

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return tuple(self._one(bottom, blobs) for bottom in bottoms)

    def _one(self, bottom: Tensor, blobs: Sequence[Tensor]) -> Tensor:
        lead, channels, sizes = self._split(tuple(bottom.shape))
        bias = blobs[1] if self.bias_term else None
        flat = bottom.reshape(-1, channels, *sizes)
        if sizes:
            result = self._apply(flat, blobs[0], bias)
        else:  # a matrix a group: one position of one axis
            pointwise = type(self)(num_output=self.num_output, group=self.group, kernel_size=(1,))
            result = pointwise._apply(flat[..., None], blobs[0][..., None], bias)[..., 0]
        return result.reshape(*lead, *result.shape[1:])

    def _apply(self, bottom: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        raise NotImplementedError

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if len(bottoms) != tops:
            raise ShapeMismatchError(f"needs one top a bottom, got {len(bottoms)} and {tops}")
        if any(bottom != bottoms[0] for bottom in bottoms):
            raise ShapeMismatchError(f"needs bottoms of one shape, got {list(bottoms)}")
        _, channels, sizes = self._split(bottoms[0])
        needs_one("num_output", self.num_output)
        needs_one("group", self.group)
        self._check_geometry(len(sizes))
        if channels % self.group or self.num_output % self.group:
            raise ShapeMismatchError(
                f"needs channels and num_output divisible by group {self.group}, "
                f"got {channels} and {self.num_output}"
            )

    def _has_twin(self, bottoms: Sequence[Shape]) -> bool:
        lead, _, sizes = self._split(bottoms[0])
        return len(bottoms) == 1 and len(lead) == 1 and len(sizes) in self._twins

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        if not self._has_twin(bottoms):
            return super().module(bottoms, blobs, tops)
        spatial = len(bottoms[0]) - 2
        kernel, stride, pad, dilation = self.geometry(spatial)
        return torch_module(
            self._twins[spatial],
            blobs,
            bottoms[0][1],
            self.num_output,
            kernel,
            stride,
            pad,
            dilation=dilation,
            groups=self.group,
            bias=self.bias_term,
        )


@register
@dataclass(frozen=True, kw_only=True)
class Convolution(Filters):
    """Cross-correlate over the axes after `axis`, with weights (num_output, C/group, k...)."""

    type = "Convolution"
    _twins = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}

    def _apply(self, bottom: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        spatial = bottom.dim() - 2
        _, stride, pad, dilation = self.geometry(spatial)
        return _CONVOLVE[spatial](bottom, weight, bias, stride, pad, dilation, self.group)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        parts = (self._split(bottom) for bottom in bottoms)
        return tuple((*lead, self.num_output, *self._windows(sizes)) for lead, _, sizes in parts)

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        _, channels, sizes = self._split(bottoms[0])
        kernel = self.geometry(len(sizes))[0]
        weight = (self.num_output, channels // self.group, *kernel)
        return (weight, (self.num_output,)) if self.bias_term else (weight,)

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        return prod(self.blob_shapes(bottoms)[0][1:])


@register
@dataclass(frozen=True, kw_only=True)
class Deconvolution(Filters):
    """Compute the transpose of a convolution, with weights (C, num_output/group, k...)."""

    type = "Deconvolution"
    _twins = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}

    def _apply(self, bottom: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        spatial = bottom.dim() - 2
        _, stride, pad, dilation = self.geometry(spatial)
        return _DECONVOLVE[spatial](bottom, weight, bias, stride, pad, 0, self.group, dilation)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        """Compute out = stride (in - 1) + dilation (kernel - 1) + 1 - 2 pad for each axis."""
        return tuple(self._top_shape(*self._split(bottom)) for bottom in bottoms)

    def _top_shape(self, lead: Shape, channels: int, sizes: Shape) -> Shape:
        out = tuple(
            stride * (size - 1) + dilation * (kernel - 1) + 1 - 2 * pad
            for size, kernel, stride, pad, dilation in zip(
                sizes, *self.geometry(len(sizes)), strict=True
            )
        )
        if min(out, default=1) < 1:
            raise ShapeMismatchError(f"needs an output of 1 or more, got {out} for {sizes}")
        return (*lead, self.num_output, *out)

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        _, channels, sizes = self._split(bottoms[0])
        weight = (channels, self.num_output // self.group, *self.geometry(len(sizes))[0])
        return (weight, (self.num_output,)) if self.bias_term else (weight,)

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        """Return the terms in a sum: the channels of a group times the taps that overlap."""
        _, channels, sizes = self._split(bottoms[0])
        kernel, stride, _, dilation = self.geometry(len(sizes))
        steps = [s // gcd(s, d) for s, d in zip(stride, dilation, strict=True)]
        return channels // self.group * prod(-(-k // a) for k, a in zip(kernel, steps, strict=True))


@register
@dataclass(frozen=True, kw_only=True)
class Im2col(Windows):
    """Move the windows that a convolution would read to channels: (C * kernel, out)."""

    type = "Im2col"

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        spatial = len(self._split(bottoms[0])[2])
        if spatial < 1:
            raise ShapeMismatchError("needs axes after its axis, got none")
        self._check_geometry(spatial)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        lead, channels, sizes = self._split(bottoms[0])
        kernel = self.geometry(len(sizes))[0]
        return ((*lead, channels * prod(kernel), *self._windows(sizes)),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        shape = tuple(bottoms[0].shape)
        lead, _, sizes = self._split(shape)
        kernel, stride, pad, dilation = self.geometry(len(sizes))
        pads = [side for p in reversed(pad) for side in (p, p)]
        # Without a pad the windows that do not overlap stay a view, which is how nets permute.
        top = F.pad(bottoms[0], pads) if any(pad) else bottoms[0]
        for axis, (k, s, d) in enumerate(zip(kernel, stride, dilation, strict=True), len(lead) + 1):
            top = top.unfold(axis, d * (k - 1) + 1, s)[..., ::d]  # the taps become a last axis
        last = range(len(shape), len(shape) + len(sizes))
        order = [*range(len(lead) + 1), *last, *range(len(lead) + 1, len(shape))]
        return (top.permute(order).reshape(self.top_shapes([shape], tops)[0]),)


def _sides(
    name: str, values: Sequence[int], h: int | None, w: int | None, default: int | None = None
) -> Shape:
    """Return the per-axis values, from the list or from the _h and _w pair (Caffe allows one)."""
    if h is None and w is None:
        return tuple(values)
    if values:
        raise ShapeMismatchError(f"needs {name} given once, got a list and {name}_h/{name}_w")
    if default is None and (h is None or w is None):
        raise ShapeMismatchError(f"needs both {name}_h and {name}_w, got only one")
    return tuple(side if side is not None else int(default or 0) for side in (h, w))


def _spell(prefix: str, name: str, sides: Shape, neutral: int | None) -> dict[str, Any]:
    """Return the fields that hold per-axis values: _h and _w for an unequal pair, else the list.

    Several runtimes read unequal lists wrongly, and all of them read _h and _w.
    """
    shortest = once_per_axis(sides, neutral)
    pair = shortest if len(shortest) == 2 else (None, None)
    return {
        name: () if len(shortest) == 2 else shortest,
        f"{prefix}_h": pair[0],
        f"{prefix}_w": pair[1],
    }


def _spread(name: str, values: Shape, axes: int, default: int | None) -> Shape:
    """Return one value for each axis, given none, one or all of them.

    Raises ShapeMismatchError for any other count, and for none without a default.
    """
    if not axes and len(values) < 2:
        return ()
    if not values:
        if default is None:
            raise ShapeMismatchError(f"needs {name}, got none")
        return (default,) * axes
    if len(values) not in (1, axes):
        raise ShapeMismatchError(f"needs {name} once or {axes} times, got {values}")
    return values * axes if len(values) == 1 else values
