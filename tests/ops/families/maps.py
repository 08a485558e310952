"""Functions of feature maps: convolution, pooling, sampling."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

from caffe2fx import compat
from tests.ops.families.base import Arguments, Family, Random, calls, family, named


def images(r: Random, axes_: int, channels: int, size: int = 8) -> Tensor:
    """Draw feature maps of so many spatial axes."""
    return r.tensor((r.number(1, 2), channels, *r.many(axes_, 3, size)))


def one_or_each(r: Random, count: int, low: int, high: int) -> Any:
    """Draw one value for all axes, or one for each."""
    return r.number(low, high) if r.flag() else r.many(count, low, high)


def _convolution(axes_: int) -> Family:
    def draw(r: Random) -> Arguments:
        groups, kernel = r.choice(1, 1, 2), r.many(axes_, 1, 3)
        inputs, outputs = groups * r.number(1, 2), groups * r.number(1, 2)
        weight = r.tensor((outputs, inputs // groups, *kernel))
        stride = one_or_each(r, axes_, 1, 2)
        padding = r.choice("same", "valid", one_or_each(r, axes_, 0, 2))
        return (images(r, axes_, inputs), weight, r.choice(None, r.tensor((outputs,)))), {
            "stride": 1 if padding == "same" else stride,
            "padding": padding,
            "dilation": one_or_each(r, axes_, 1, 2),
            "groups": groups,
        }

    return draw


def _transposed(axes_: int) -> Family:
    def draw(r: Random) -> Arguments:
        groups, kernel = r.choice(1, 1, 2), r.many(axes_, 1, 3)
        inputs, outputs = groups * r.number(1, 2), r.number(1, 2)
        weight = r.tensor((inputs, outputs, *kernel))
        stride = r.number(1, 3)
        return (
            images(r, axes_, inputs, 5),
            weight,
            r.choice(None, r.tensor((outputs * groups,))),
        ), {
            "stride": stride,
            "padding": one_or_each(r, axes_, 0, 1),
            "output_padding": r.number(0, stride - 1),
            "dilation": one_or_each(r, axes_, 1, 2),
            "groups": groups,
        }

    return draw


def _max_pooling(axes_: int, indices: bool = False) -> Family:
    def draw(r: Random) -> Arguments:
        kernel = r.many(axes_, 1, 3)
        options = {"ceil_mode": r.flag(), "dilation": r.choice(1, 1, 2)}
        options["stride"] = r.choice(None, one_or_each(r, axes_, 1, 3))
        options["padding"] = r.number(0, min(kernel) // 2)
        return (images(r, axes_, r.number(1, 2)), kernel), options

    return draw


def _average_pooling(axes_: int) -> Family:
    def draw(r: Random) -> Arguments:
        kernel = r.many(axes_, 1, 3)
        options = {"ceil_mode": r.flag(), "count_include_pad": r.flag()}
        options["stride"] = r.choice(None, one_or_each(r, axes_, 1, 3))
        options["padding"] = r.number(0, min(kernel) // 2)
        if axes_ > 1:
            options["divisor_override"] = r.choice(None, None, 3)
        return (images(r, axes_, r.number(1, 2)), kernel), options

    return draw


def _adaptive(axes_: int) -> Family:
    def draw(r: Random) -> Arguments:
        return (images(r, axes_, 2), r.many(axes_, 1, 4)), {}

    return draw


def _power_pooling(axes_: int) -> Family:
    def draw(r: Random) -> Arguments:
        kernel = r.many(axes_, 1, 3)
        stride = r.choice(None, r.number(1, 2))
        sizes = kernel[0] if axes_ == 1 else kernel
        args = (r.tensor((1, 2, *r.many(axes_, 3, 7)), "positive"), r.choice(1.0, 2.0, 3.0), sizes)
        return args, {"stride": stride, "ceil_mode": r.flag()}

    return draw


def _unpooling(axes_: int) -> Family:
    pool = getattr(F, f"max_pool{axes_}d")

    def draw(r: Random) -> Arguments:
        kernel = r.number(2, 3)
        values, indices = pool(r.tensor((1, 2, *(6,) * axes_)), kernel, return_indices=True)
        return (values, indices, kernel), {}

    return draw


for _axes in (1, 2, 3):
    family(getattr(F, f"conv{_axes}d"))(_convolution(_axes))
    family(getattr(F, f"conv_transpose{_axes}d"))(_transposed(_axes))
    family(getattr(F, f"max_pool{_axes}d"))(_max_pooling(_axes))
    family(getattr(F, f"max_pool{_axes}d_with_indices"))(_max_pooling(_axes))
    family(getattr(F, f"avg_pool{_axes}d"))(_average_pooling(_axes))
    family(getattr(F, f"adaptive_avg_pool{_axes}d"))(_adaptive(_axes))
    family(getattr(F, f"adaptive_max_pool{_axes}d"))(_adaptive(_axes))
    family(getattr(F, f"adaptive_max_pool{_axes}d_with_indices"))(_adaptive(_axes))
    family(compat.LP_POOL3D if _axes == 3 else getattr(F, f"lp_pool{_axes}d"))(
        _power_pooling(_axes)
    )
    family(getattr(F, f"max_unpool{_axes}d"))(_unpooling(_axes))


@family(F.dropout, F.dropout1d, F.dropout2d, F.dropout3d)
@family(F.alpha_dropout, F.feature_alpha_dropout)
def _dropped(r: Random) -> Arguments:
    return (r.tensor(r.shape(3, 5)), r.choice(0.0, 0.5)), {"training": False}


@family(F.unfold)
def _columns(r: Random) -> Arguments:
    options = {name: one_or_each(r, 2, 1, 2) for name in ("stride", "dilation")}
    return (images(r, 2, r.number(1, 2)), r.many(2, 1, 3)), {**options, "padding": r.number(0, 2)}


@family(F.fold)
def _folded(r: Random) -> Arguments:
    size, kernel = r.many(2, 3, 6), r.many(2, 1, 3)
    options = {"stride": r.number(1, 2), "padding": r.number(0, 1), "dilation": r.choice(1, 2)}
    columns = F.unfold(torch.zeros(1, 2, *size), kernel, **options)
    return (r.tensor(columns.shape), size, kernel), options


@family(F.pixel_shuffle)
def _shuffled(r: Random) -> Arguments:
    factor = r.number(1, 3)
    return (r.tensor((*r.shape(0, 2, 2), 2 * factor**2, *r.many(2, 1, 4))), factor), {}


@family(F.pixel_unshuffle)
def _unshuffled(r: Random) -> Arguments:
    factor = r.number(1, 3)
    sizes = (factor * number for number in r.many(2, 1, 3))
    return (r.tensor((*r.shape(0, 2, 2), 2, *sizes)), factor), {}


@family(F.channel_shuffle, F.native_channel_shuffle)
def _channels_shuffled(r: Random) -> Arguments:
    groups = r.number(1, 3)
    return (r.tensor((r.number(1, 2), groups * r.number(1, 3), *r.many(2, 1, 4))), groups), {}


@family(F.interpolate)
def _resized(r: Random) -> Arguments:
    modes = {1: ("linear",), 2: ("bilinear", "bicubic"), 3: ("trilinear",)}
    axes_ = r.number(1, 3)
    mode = r.choice("nearest", "nearest-exact", "area", *modes[axes_])
    value = images(r, axes_, 2, 6)
    options: dict[str, Any] = {"mode": mode}
    if r.flag():
        options["size"] = r.many(axes_, 1, 9)
    else:
        options["scale_factor"] = r.choice(2, 0.5, 1.5, 3.0, 0.75)
        options["recompute_scale_factor"] = r.choice(None, True)
    if mode in modes[axes_]:
        options["align_corners"] = r.choice(None, False, True)
    if mode in modes[2]:
        options["antialias"] = r.flag()
    return (value,), options


def _fractional(axes_: int, indices: bool) -> Family:
    """Draw windows at given random samples, and of the maxima alone."""

    def draw(r: Random) -> Arguments:
        value = images(r, axes_, 3, 6)
        samples = r.tensor((*value.shape[:2], axes_), "fraction")
        options: dict[str, Any] = {"_random_samples": samples, "return_indices": indices}
        return (value, r.number(1, 2), r.many(axes_, 1, 2)), options

    return draw


for _axes in (2, 3):
    for _suffix in ("", "_with_indices"):
        _pool = getattr(F, f"fractional_max_pool{_axes}d{_suffix}")
        family(_pool)(_fractional(_axes, bool(_suffix)))


def _operator(axes_: int) -> Family:
    """Draw what torch's operator takes: an output size, and the samples without a name."""

    def draw(r: Random) -> Arguments:
        value = images(r, axes_, 3, 6)
        samples = r.tensor((*value.shape[:2], axes_), "fraction")
        return (value, r.many(axes_, 1, 2), r.many(axes_, 1, 2), samples), {}

    return draw


for _axes in (2, 3):
    _below = getattr(torch._C._nn, f"fractional_max_pool{_axes}d")
    calls(_below, lambda *args, _below=_below: _below(*args)[0])(_operator(_axes))


def _resizing(axes_: int, weighs: bool) -> Family:
    """Return an operator below interpolate: to a size or by factors."""

    def draw(r: Random) -> Arguments:
        size, factors = r.choice(
            (r.many(axes_, 1, 9), None),
            (None, [r.choice(2.0, 0.5, 1.7) for _ in range(axes_)]),
        )
        corners = (r.flag(),) if weighs else ()
        return (images(r, axes_, 2, 6), size, *corners, factors), {}

    return draw


for _axes, _weighing in (
    (1, "upsample_linear1d"),
    (2, "upsample_bilinear2d upsample_bicubic2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa"),
    (3, "upsample_trilinear3d"),
):
    _nearest = f"upsample_nearest{_axes}d _upsample_nearest_exact{_axes}d"
    family(*named(_nearest, torch._C._nn))(_resizing(_axes, weighs=False))
    family(*named(_weighing, torch._C._nn))(_resizing(_axes, weighs=True))


@calls(F.grid_sample, torch.grid_sampler_3d)
def _sampled_volume(r: Random) -> Arguments:
    value, grid = r.tensor((1, 2, *r.many(3, 2, 4))), 0.6 * r.tensor((1, *r.many(3, 1, 3), 3))
    return (value, grid, r.choice(0, 1), r.choice(0, 1, 2), r.flag()), {}


@calls(F.grid_sample, torch.grid_sampler)
@calls(F.grid_sample, torch.grid_sampler_2d)
def _sampled(r: Random) -> Arguments:
    return (*_grid(r), r.choice(0, 1), r.choice(0, 1, 2), r.flag()), {}


def _grid(r: Random) -> tuple[Tensor, Tensor]:
    batch = r.number(1, 2)
    value = r.tensor((batch, 2, *r.many(2, 2, 5)))
    return value, 0.6 * r.tensor((batch, *r.many(2, 1, 4), 2))


@family(F.grid_sample)
def _grid_sampled(r: Random) -> Arguments:
    options = {"mode": r.choice("bilinear", "nearest", "bicubic"), "align_corners": r.flag()}
    padding = r.choice("zeros", "border", "reflection")
    return _grid(r), {**options, "padding_mode": padding}


@family(F.affine_grid)
def _affine(r: Random) -> Arguments:
    batch = r.number(1, 2)
    sizes = (batch, 2, *r.many(2, 1, 5))
    return (r.tensor((batch, 2, 3)), sizes), {"align_corners": r.flag()}


def _boxes(r: Random) -> Tensor:
    count = r.number(1, 3)
    corners = r.tensor((count, 2), "positive")
    return torch.cat([torch.zeros(count, 1), corners, corners + 2], 1)


@calls("torchvision.roi_align", torchvision.ops.roi_align)
def _regions(r: Random) -> Arguments:
    return (r.tensor((1, 2, 6, 7)), _boxes(r), r.many(2, 1, 3)), {
        "spatial_scale": r.choice(1.0, 0.5),
        "sampling_ratio": r.choice(1, 2, -1),
        "aligned": r.flag(),
    }


@calls("torchvision.roi_pool", torchvision.ops.roi_pool)
def _pooled_regions(r: Random) -> Arguments:
    return (r.tensor((1, 2, 6, 7)), _boxes(r), r.many(2, 1, 3), r.choice(1.0, 0.5)), {}


@calls("torchvision.ps_roi_pool", torchvision.ops.ps_roi_pool)
def _own_regions(r: Random) -> Arguments:
    pooled = r.many(2, 1, 3)
    value = r.tensor((1, r.number(1, 2) * math.prod(pooled), 6, 7))
    return (value, _boxes(r), pooled, r.choice(1.0, 0.5)), {}


@calls("torchvision.ps_roi_align", torchvision.ops.ps_roi_align)
def _own_aligned(r: Random) -> Arguments:
    args, _ = _own_regions(r)
    return (*args, r.choice(1, 2, -1)), {}


@calls("torchvision.deform_conv2d", torchvision.ops.deform_conv2d)
def _deformed(r: Random) -> Arguments:
    height, width = r.many(2, 3, 5)
    kernel = r.many(2, 1, 2)
    size = (height - kernel[0] + 1, width - kernel[1] + 1)
    offset = r.tensor((1, 2 * kernel[0] * kernel[1], *size))
    return (r.tensor((1, 2, height, width)), offset, r.tensor((2, 2, *kernel))), {}


def _upsampled(axes_: int, weighs: bool) -> Family:
    """Draw interpolate's arguments: the size and the factors come one after the other."""

    def draw(r: Random) -> Arguments:
        corners = [r.flag()] if weighs else []
        size, factors = r.choice(
            (r.many(axes_, 1, 9), None), (None, [r.choice(2.0, 0.5, 1.5)] * axes_)
        )
        return (images(r, axes_, 2, 6), size, *corners, factors), {}

    return draw


_N = torch._C._nn
for _axes in (1, 2, 3):
    family(getattr(_N, f"upsample_nearest{_axes}d"))(_upsampled(_axes, False))
    family(getattr(_N, f"_upsample_nearest_exact{_axes}d"))(_upsampled(_axes, False))
family(_N.upsample_linear1d)(_upsampled(1, True))
family(_N.upsample_trilinear3d)(_upsampled(3, True))
for _mode in ("upsample_bilinear2d", "upsample_bicubic2d"):
    family(getattr(_N, _mode), getattr(_N, f"_{_mode}_aa"))(_upsampled(2, True))
