"""Operators below torch's functions, as torch.export's programs call them, in plain functions.

Each function here has the operator's own parameters and gives the function that a user would
have called, with its arguments: a call that handlers know.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fx2caffe.ir import graph_functions
from fx2caffe.tracing.functions import losses
from fx2caffe.tracing.functions.losses import Respelled

Sizes = Sequence[int]

_CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
_TRANSPOSED = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
_INTERPOLATIONS = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")


def batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Respelled:
    statistics = running_mean, running_var
    return F.batch_norm, (input, *statistics, weight, bias, training, momentum, eps), {}


def instance_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Respelled:
    statistics = running_mean, running_var
    return F.instance_norm, (input, *statistics, weight, bias, use_input_stats, momentum, eps), {}


def native_batch_norm(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, *rest: Any
) -> Respelled:
    """Respell aten's native_batch_norm; without running statistics it stays the same overload."""
    if len(rest) == 3:
        return torch._native_batch_norm_legit, (input, weight, bias, *rest), {}
    running_mean, running_var, training, *options = rest
    if training:
        return torch.native_batch_norm, (input, weight, bias, *rest), {}
    statistics = running_mean, running_var
    target = torch._native_batch_norm_legit_no_training
    return target, (input, weight, bias, *statistics, *options), {}


def layer_norm(
    input: Tensor,
    normalized_shape: Sizes,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Respelled:
    return F.layer_norm, (input, normalized_shape, weight, bias, eps), {}


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Respelled:
    return F.group_norm, (input, num_groups, weight, bias, eps), {}


def _normalized(target: Callable[..., Any]) -> Callable[..., Respelled]:
    """Return the respelling of a softmax whose third argument is half_to_float, not a dtype."""

    def softmax(input: Tensor, dim: int, half_to_float: bool = False) -> Respelled:
        return target, (input, dim), {}

    return softmax


def convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    transposed: bool,
    output_padding: Sizes,
    groups: int,
    *_: bool,
) -> Respelled:
    axes = weight.ndim - 3
    if transposed:
        rest = stride, padding, output_padding, groups, dilation
        return _TRANSPOSED[axes], (input, weight, bias, *rest), {}
    return _CONVOLUTIONS[axes], (input, weight, bias, stride, padding, dilation, groups), {}


def index(input: Tensor, indices: Sequence[Tensor | None]) -> Respelled:
    return operator.getitem, (input, _positions(indices)), {}


def index_put(
    input: Tensor,
    indices: Sequence[Tensor | None],
    values: Tensor,
    accumulate: bool = False,
    unsafe: bool = False,
) -> Respelled:
    if all(one is not None for one in indices):
        return torch.index_put, (input, indices, values, accumulate), {}
    if accumulate:  # torch.index_put itself takes no axis without an index
        return torch.ops.aten.index_put.default, (input, indices, values, accumulate), {}
    return graph_functions.setitem, (input, _positions(indices), values), {}


def _positions(indices: Sequence[Tensor | None]) -> tuple[Any, ...]:
    """Return the indices with a full slice for each axis that has none."""
    return tuple(slice(None) if one is None else one for one in indices)


def embedding(
    weight: Tensor,
    indices: Tensor,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Respelled:
    return F.embedding, (indices, weight), {}


def dropout(input: Tensor, p: float, train: bool) -> Respelled:
    return F.dropout, (input, p, train), {}


def to_copy(input: Tensor, *, dtype: torch.dtype | None = None, **_: Any) -> Respelled:
    return Tensor.to, (input, input.dtype if dtype is None else dtype), {}


def reshape(input: Tensor, size: Sizes, *_: Any) -> Respelled:
    return torch.reshape, (input, tuple(size)), {}


def copy(input: Tensor, src: Tensor, non_blocking: bool = False) -> Respelled:
    """Respell copy_ as the source in the tensor's shape and dtype: it overwrites every element."""
    if input.dtype != src.dtype:
        return graph_functions.setitem, (input, ..., src), {}
    return Tensor.expand, (src, tuple(input.shape)), {}


def elu(
    input: Tensor, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0
) -> Respelled:
    if scale == input_scale == 1:
        return F.elu, (input, alpha), {}
    return torch._C._nn.elu, (input, alpha, scale, input_scale), {}


def _pooled(target: Callable[..., Any]) -> Callable[..., Respelled]:
    def max_pool(
        input: Tensor,
        kernel_size: Sizes,
        stride: Sizes = (),
        padding: Sizes = (0,),
        dilation: Sizes = (1,),
        ceil_mode: bool = False,
    ) -> Respelled:
        steps = stride if len(stride) else None
        return target, (input, kernel_size, steps, padding, dilation, ceil_mode), {}

    return max_pool


def _adaptive(target: Callable[..., Any]) -> Callable[..., Respelled]:
    def adaptive_pool(input: Tensor, output_size: Sizes) -> Respelled:
        return target, (input, output_size), {}

    return adaptive_pool


def _padded(mode: str) -> Callable[..., Respelled]:
    def pad(input: Tensor, pad: Sizes) -> Respelled:
        return F.pad, (input, tuple(pad), mode), {}

    return pad


def col2im(
    input: Tensor,
    output_size: Sizes,
    kernel_size: Sizes,
    dilation: Sizes,
    padding: Sizes,
    stride: Sizes,
) -> Respelled:
    return F.fold, (input, output_size, kernel_size, dilation, padding, stride), {}


def im2col(
    input: Tensor, kernel_size: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes
) -> Respelled:
    return F.unfold, (input, kernel_size, dilation, padding, stride), {}


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: int | None = None) -> Respelled:
    return torch.cdist, (x1, x2, p), {}


def pdist(input: Tensor, p: float = 2.0) -> Respelled:
    return F.pdist, (input, p), {}


def grid_sampler(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Respelled:
    modes = _INTERPOLATIONS[interpolation_mode], _PADDINGS[padding_mode]
    return F.grid_sample, (input, grid, *modes, align_corners), {}


def affine_grid(theta: Tensor, size: Sizes, align_corners: bool) -> Respelled:
    return F.affine_grid, (theta, size, align_corners), {}


def tensordot(input: Tensor, other: Tensor, dims_self: Sizes, dims_other: Sizes) -> Respelled:
    return torch.tensordot, (input, other, (tuple(dims_self), tuple(dims_other))), {}


def fake_quantize_per_channel(*args: Any, **kwargs: Any) -> Respelled:
    return graph_functions.fake_quantize_per_channel_affine, args, kwargs


def nan_to_num(
    input: Tensor,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Respelled:
    """Respell the bounds that are left to the dtype, which would be others in float64."""
    if input.is_floating_point():
        bounds = torch.finfo(input.dtype)
        posinf = bounds.max if posinf is None else posinf
        neginf = bounds.min if neginf is None else neginf
    return torch.nan_to_num, (input, nan, posinf, neginf), {}


def rms_norm(
    input: Tensor, normalized_shape: Sizes, weight: Tensor | None = None, eps: float | None = None
) -> Respelled:
    """Respell an eps that is left to the dtype, which would be another in float64."""
    eps = torch.finfo(input.dtype).eps if eps is None else eps
    return F.rms_norm, (input, normalized_shape, weight, eps), {}


def as_strided_scatter(
    input: Tensor,
    src: Tensor,
    size: Sizes,
    stride: Sizes,
    storage_offset: int | None = None,
) -> Respelled:
    """Respell a write by steps through memory, which only a contiguous tensor's shape implies."""
    if not input.is_contiguous():
        return torch.as_strided_scatter, (input, src, size, stride, storage_offset), {}
    elements = torch.arange(input.numel()).as_strided(size, stride, storage_offset or 0)
    positions = elements.flatten(), tuple(input.shape)
    index = tuple(axis.reshape(elements.shape) for axis in torch.unravel_index(*positions))
    return graph_functions.setitem, (input, index, src), {}


def trilinear(
    i1: Tensor,
    i2: Tensor,
    i3: Tensor,
    expand1: Sizes,
    expand2: Sizes,
    expand3: Sizes,
    sumdim: Sizes,
    unroll_dim: int = 1,
) -> Respelled:
    """Respell the axes that F.bilinear gives it; others stay."""
    axes = [list(one) for one in (expand1, expand2, expand3, sumdim)]
    if axes == [[1, 3], [0], [1, 2], [2, 3]]:
        return F.bilinear, (i1, i3, i2), {}
    return torch._trilinear, (i1, i2, i3, *axes, unroll_dim), {}


def rrelu_with_noise(
    input: Tensor,
    noise: Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    generator: Any = None,
) -> Respelled:
    return F.rrelu, (input, lower, upper, training), {}


def fake_quantize_per_channel_with_mask(*args: Any) -> Respelled:
    return graph_functions.fake_quantize_per_channel_with_mask, args, {}


def view_as_real(input: Tensor) -> Respelled:
    return graph_functions.view_as_real, (input,), {}


def view_as_complex(input: Tensor) -> Respelled:
    return graph_functions.view_as_complex, (input,), {}


# By name, in torch.ops.aten and in torch alike: where both have a function, it is the same one.
RESPELLED: Mapping[str, Callable[..., Respelled]] = MappingProxyType({
    "batch_norm": batch_norm,
    "native_batch_norm": native_batch_norm,
    "_native_batch_norm_legit": native_batch_norm,
    "instance_norm": instance_norm,
    "layer_norm": layer_norm,
    "group_norm": group_norm,
    "_softmax": _normalized(F.softmax),
    "_log_softmax": _normalized(F.log_softmax),
    "convolution": convolution,
    "_convolution": convolution,
    "index": index,
    "_unsafe_index": index,
    "index_put": index_put,
    "_unsafe_index_put": index_put,
    "embedding": embedding,
    "dropout": dropout,
    "feature_dropout": dropout,
    "alpha_dropout": dropout,
    "feature_alpha_dropout": dropout,
    "_to_copy": to_copy,
    "_unsafe_view": reshape,
    "_reshape_copy": reshape,
    "_reshape_alias": reshape,
    "copy": copy,
    "elu": elu,
    "max_pool1d_with_indices": _pooled(F.max_pool1d_with_indices),
    "max_pool2d_with_indices": _pooled(F.max_pool2d_with_indices),
    "max_pool3d_with_indices": _pooled(F.max_pool3d_with_indices),
    "max_pool1d": _pooled(F.max_pool1d),
    "max_pool2d": _pooled(F.max_pool2d),
    "max_pool3d": _pooled(F.max_pool3d),
    "_adaptive_avg_pool2d": _adaptive(F.adaptive_avg_pool2d),
    "_adaptive_avg_pool3d": _adaptive(F.adaptive_avg_pool3d),
    "adaptive_max_pool1d": _adaptive(F.adaptive_max_pool1d_with_indices),
    "adaptive_max_pool2d": _adaptive(F.adaptive_max_pool2d_with_indices),
    "adaptive_max_pool3d": _adaptive(F.adaptive_max_pool3d_with_indices),
    **dict.fromkeys(("reflection_pad1d", "reflection_pad2d", "reflection_pad3d"),
                    _padded("reflect")),
    **dict.fromkeys(("replication_pad1d", "replication_pad2d", "replication_pad3d"),
                    _padded("replicate")),
    "_pad_circular": _padded("circular"),
    "col2im": col2im,
    "im2col": im2col,
    "_cdist_forward": cdist,
    "_pdist_forward": pdist,
    "grid_sampler": grid_sampler,
    "grid_sampler_2d": grid_sampler,
    "grid_sampler_3d": grid_sampler,
    "affine_grid_generator": affine_grid,
    "tensordot": tensordot,
    **dict.fromkeys(("view_as_real", "view_as_real_copy"), view_as_real),
    **dict.fromkeys(("view_as_complex", "view_as_complex_copy"), view_as_complex),
    "fake_quantize_per_channel_affine": fake_quantize_per_channel,
    "fake_quantize_per_channel_affine_cachemask": fake_quantize_per_channel_with_mask,
    "nan_to_num": nan_to_num,
    "rms_norm": rms_norm,
    "as_strided_scatter": as_strided_scatter,
    "_trilinear": trilinear,
    "rrelu_with_noise": rrelu_with_noise,
    **losses.ATEN,
})  # fmt: skip
