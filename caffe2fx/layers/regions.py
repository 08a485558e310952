"""Layers of the R-CNN forks: regions of interest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.forks.shape import needs_rank
from caffe2fx.layers.layer import Evidence, Layer
from caffe2fx.layers.registry import register
from caffe2fx.messages.message import Shape, field, required

RCNN = ("rcnn", "intel", "yjxiong", "synopsys", "tpu_mlir", "opencv")


def check_regions(bottoms: Sequence[Shape]) -> None:
    """Raise unless the bottoms are a map and rows of image, left, top, right, bottom."""
    needs_rank(bottoms[0], 4)
    regions = bottoms[1]
    if len(regions) < 2 or regions[1:] != (5, *(1,) * (len(regions) - 2)):
        raise ShapeMismatchError(f"needs regions of shape (R, 5), got {regions}")


@dataclass(frozen=True, kw_only=True)
class _Pooled(Layer):
    """Base of the layers that pool each region into pooled_h x pooled_w."""

    bottoms = (2, 2)
    pooled_h: int = field(1, "uint32", 0)
    pooled_w: int = field(2, "uint32", 0)
    spatial_scale: float = field(3, "float", 1.0)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        check_regions(bottoms)
        if min(self.pooled_h, self.pooled_w) < 1:
            raise ShapeMismatchError(
                f"needs pooled_h and pooled_w of 1 or more, got {self.pooled_h}, {self.pooled_w}"
            )

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return ((bottoms[1][0], bottoms[0][1], self.pooled_h, self.pooled_w),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        regions = bottoms[1].reshape(-1, 5)
        size = (self.pooled_h, self.pooled_w)
        return (self.pooling()(bottoms[0], regions, size, self.spatial_scale),)

    def pooling(self) -> Callable[..., Tensor]:
        """Return torchvision's function; torchvision is imported for it, which takes a second."""
        raise NotImplementedError


@register
@dataclass(frozen=True, kw_only=True)
class ROIPooling(_Pooled):
    """Compute the maximum of each of pooled_h x pooled_w bins of a region; 0 for an empty bin.

    Regions are in pixels of the image; times `spatial_scale`, rounded, they are in the map's.
    """

    type = "ROIPooling"
    parameter = ("roi_pooling_param", 8266711)
    message = "ROIPoolingParameter"
    dialects = RCNN

    def pooling(self) -> Callable[..., Tensor]:
        from torchvision.ops import roi_pool

        function: Callable[..., Tensor] = roi_pool
        return function


@register
@dataclass(frozen=True, kw_only=True)
class ROIAlign(_Pooled):
    """Average each bin of a region, sampled bilinearly about once a pixel.

    Regions are not rounded, and are at least one pixel wide.
    """

    type = "ROIAlign"
    parameter = ("roi_align_param", 247)
    message = "ROIAlignParameter"
    dialects = ("detectron", "synopsys")
    evidence = Evidence.SOURCE

    def pooling(self) -> Callable[..., Tensor]:
        from torchvision.ops import roi_align

        function: Callable[..., Tensor] = roi_align
        return function


@register
@dataclass(frozen=True, kw_only=True)
class PSROIPooling(Layer):
    """Average each of group_size^2 bins of a region, each bin from channels of its own.

    The bin in row p and column q of output channel c is read from the bottom's channel (c *
    group_size + p) * group_size + q; an empty bin is 0. Unlike ROIPooling it rounds the region
    before it scales it.
    """

    type = "PSROIPooling"
    parameter = ("psroi_pooling_param", 10001)
    message = "PSROIPoolingParameter"
    dialects = ("rfcn", "intel", "brocolli", "opencv")
    bottoms = (2, 2)

    spatial_scale: float = required(1, "float")
    output_dim: int = required(2, "int32")
    group_size: int = required(3, "int32")

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        check_regions(bottoms)
        wanted = self.output_dim * self.group_size**2
        if wanted < 1 or bottoms[0][1] != wanted:
            raise ShapeMismatchError(f"needs {wanted} channels, got {bottoms[0][1]}")

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return ((bottoms[1][0], self.output_dim, self.group_size, self.group_size),)

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        return bottoms[0][2] * bottoms[0][3] // self.group_size**2

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        map_, regions = bottoms[0], bottoms[1].reshape(-1, 5)
        rows = self._bins(regions[:, 2], regions[:, 4], map_.shape[2])
        columns = self._bins(regions[:, 1], regions[:, 3], map_.shape[3])
        own_channels = (self.output_dim, self.group_size, self.group_size)
        bins = map_.reshape(map_.shape[0], *own_channels, *map_.shape[2:])
        top = map_.new_zeros(len(regions), *bins.shape[1:4])
        for image, own in enumerate(bins):
            of_image = (regions[:, 0].long() == image).nonzero()[:, 0]
            sums = torch.einsum("cpqyx,rpy,rqx->rcpq", own, rows[of_image], columns[of_image])
            top = top.index_copy(0, of_image, sums)
        counts = rows.sum(2)[:, None, :, None] * columns.sum(2)[:, None, None, :]
        return (top / counts.clamp(min=1),)

    def _bins(self, first: Tensor, last: Tensor, size: int) -> Tensor:
        """Return a mask (R, bins, size): 1 where a position belongs to a region's bin, else 0."""
        start = _rounded(first) * self.spatial_scale
        end = (_rounded(last) + 1) * self.spatial_scale
        step = ((end - start).clamp(min=0.1) / self.group_size)[:, None]
        at = torch.arange(self.group_size, dtype=first.dtype, device=first.device)
        low = (at * step + start[:, None]).floor().clamp(0, size)[..., None]
        high = ((at + 1) * step + start[:, None]).ceil().clamp(0, size)[..., None]
        pixels = torch.arange(size, dtype=first.dtype, device=first.device)
        return ((pixels >= low) & (pixels < high)).to(first.dtype)


def _rounded(values: Tensor) -> Tensor:
    """Round as C does: halves go away from zero."""
    return values.sign() * (values.abs() + 0.5).floor()
