"""Normalizations; a Scale layer holds their weight and bias."""

from __future__ import annotations

from collections.abc import Sequence, Set
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe2fx import compat
from caffe2fx.layers import LRN, BatchNorm, Bias, Power, Scale
from fx2caffe.ir.binary import Binary, BinaryOp
from fx2caffe.ir.data_movement import rearrange
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.reshape import reshaped, viewed
from fx2caffe.ir.standardize import Standardize
from fx2caffe.ir.symbol import Operand, Symbol
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.arguments import constant
from fx2caffe.ops.blocks import clipped, inside, product, weighted_sum
from fx2caffe.ops.reduction import kept, mean, normed, var
from fx2caffe.ops.resize import along


@handles(F.batch_norm)
def batch_norm(
    net: Emitter,
    input: Symbol,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Operand | None = None,
    bias: Operand | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Symbol:
    if training or running_mean is None or running_var is None:
        return _by_the_batch(net, input, weight, bias, eps)
    statistics = [constant("running_mean", running_mean), constant("running_var", running_var)]
    blobs = [*statistics, torch.ones(1)]
    if weight is None and bias is None:
        return net.add(BatchNorm(eps=eps), input, blobs=blobs)
    normal = net.add(BatchNorm(eps=eps), input, blobs=blobs, suffix="bn")
    if isinstance(weight, Symbol) or isinstance(bias, Symbol):
        return _computed_affine(net, normal, weight, bias, input.rank - 1)
    factor = torch.ones_like(running_mean) if weight is None else constant("weight", weight)
    if bias is None:
        return net.add(Scale(), normal, blobs=[factor])
    return net.add(Scale(bias_term=True), normal, blobs=[factor, constant("bias", bias)])


def _by_the_batch(
    net: Emitter, input: Symbol, weight: Operand | None, bias: Operand | None, eps: float
) -> Symbol:
    """Normalize each channel by its mean and variance over all samples."""
    if input.shape[0] == 1 and input.rank > 2 and not input.carries_batch(0):
        return instance_norm(net, input, None, None, weight, bias, eps=eps)
    if input.carries_batch(0):
        net.fix_batch(f"{net.scope[0]} normalizes by the statistics of its samples")
    by_channel = rearrange(net, input, lambda x: x.transpose(0, 1))
    normal = net.add(Standardize(axis=1, eps=eps), by_channel, suffix="normal")
    back = rearrange(net, normal, lambda x: x.transpose(0, 1))
    return _affine(net, back, weight, bias, (1, 1))


@handles(torch._native_batch_norm_legit_no_training)
def native_batch_norm(
    net: Emitter,
    input: Symbol,
    weight: Operand | None,
    bias: Operand | None,
    running_mean: Tensor,
    running_var: Tensor,
    momentum: float,
    eps: float,
) -> tuple[Symbol, Tensor, Tensor]:
    """Return batch_norm in eval mode and two empty tensors, as torch does for batch statistics."""
    top = batch_norm(net, input, running_mean, running_var, weight, bias, eps=eps)
    return top, torch.empty(0), torch.empty(0)


@handles(torch._native_batch_norm_legit)
def batch_norm_of_the_batch(
    net: Emitter,
    input: Symbol,
    weight: Operand | None,
    bias: Operand | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Symbol, None, None]:
    """Normalize by the statistics of the samples, to which torch decomposes instance_norm."""
    return _by_the_batch(net, input, weight, bias, eps), None, None


@handles(F.instance_norm)
def instance_norm(
    net: Emitter,
    input: Symbol,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Operand | None = None,
    bias: Operand | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Symbol:
    if not use_input_stats:
        return batch_norm(net, input, running_mean, running_var, weight, bias, eps=eps)
    return _standardized(net, input, Standardize(axis=2, eps=eps), weight, bias, (1, 1))


@handles(F.layer_norm)
def layer_norm(
    net: Emitter,
    input: Symbol,
    normalized_shape: Sequence[int],
    weight: Operand | None = None,
    bias: Operand | None = None,
    eps: float = 1e-5,
) -> Symbol:
    axis = input.rank - len(normalized_shape)
    return _standardized(net, input, Standardize(axis=axis, eps=eps), weight, bias, (axis, -1))


@handles(compat.RMS_NORM)
def rms_norm(
    net: Emitter,
    input: Symbol,
    normalized_shape: Sequence[int],
    weight: Operand | None = None,
    eps: float | None = None,
) -> Symbol:
    axis = input.rank - len(normalized_shape)
    floor = torch.finfo(input.dtype).eps if eps is None else eps
    layer = Standardize(axis=axis, eps=floor, centred=False)
    return _standardized(net, input, layer, weight, None, (axis, -1))


@handles(F.group_norm)
def group_norm(
    net: Emitter,
    input: Symbol,
    num_groups: int,
    weight: Operand | None = None,
    bias: Operand | None = None,
    eps: float = 1e-5,
) -> Symbol:
    count = prod(input.static_size(axis) for axis in range(1, input.rank)) // num_groups
    groups = viewed(net, input, lambda sizes: (sizes[0], num_groups, count), suffix="groups")
    normal = net.add(Standardize(axis=2, eps=eps), groups, suffix="normal")
    whole = weight is None and bias is None
    normal = reshaped(net, normal, input.shape, input.other_shape, suffix="" if whole else "whole")
    return _affine(net, normal, weight, bias, (1, 1))


@handles(torch.native_layer_norm)
def native_layer_norm(
    net: Emitter,
    input: Symbol,
    normalized_shape: Sequence[int],
    weight: Operand | None,
    bias: Operand | None,
    eps: float,
    *,
    out: Expected,
) -> tuple[Symbol | None, ...]:
    """Return layer_norm, and the mean and inverse deviation if those results are read."""
    axes = tuple(range(input.rank - len(normalized_shape), input.rank))
    top = layer_norm(net, input, normalized_shape, weight, bias, eps)
    return top, *_statistics(net, input, axes, eps, True, out.read)


@handles(torch.native_group_norm)
def native_group_norm(
    net: Emitter,
    input: Symbol,
    weight: Operand | None,
    bias: Operand | None,
    N: int,
    C: int,
    HxW: int,
    group: int,
    eps: float,
    *,
    out: Expected,
) -> tuple[Symbol | None, ...]:
    """Return group_norm, and each group's mean and inverse deviation if those results are read."""
    top = group_norm(net, input, group, weight, bias, eps)
    if not out.read & {1, 2}:
        return top, None, None
    groups = viewed(net, input, lambda s: (s[0], group, prod(s[1:]) // group), suffix="lines")
    return top, *_statistics(net, groups, (2,), eps, False, out.read)


def _statistics(
    net: Emitter, input: Symbol, axes: tuple[int, ...], eps: float, keepdim: bool, read: Set[int]
) -> tuple[Symbol | None, Symbol | None]:
    """Return the mean and 1 / sqrt(variance + eps), each if it is read."""
    centre = deviation = None
    if 1 in read:
        centre = inside(net, "mean", mean, input, axes, keepdim)
    if 2 in read:
        variance = inside(net, "variance", var, input, axes, False, keepdim)
        deviation = net.add(Power(power=-0.5, shift=eps), variance, suffix="inverse")
    return centre, deviation


def _standardized(
    net: Emitter,
    input: Symbol,
    layer: Standardize,
    weight: Operand | None,
    bias: Operand | None,
    run: tuple[int, int],
) -> Symbol:
    suffix = "" if weight is None and bias is None else "normal"
    return _affine(net, net.add(layer, input, suffix=suffix), weight, bias, run)


def _affine(
    net: Emitter, input: Symbol, weight: Operand | None, bias: Operand | None, run: tuple[int, int]
) -> Symbol:
    """Multiply by the weight and add the bias, over `num_axes` axes from `axis` on."""
    axis, num_axes = run
    if isinstance(weight, Symbol) or isinstance(bias, Symbol):
        return _computed_affine(net, input, weight, bias, input.rank - axis)
    if weight is None:
        if bias is None:
            return input
        blobs = [constant("bias", bias)]
        return net.add(Bias(axis=axis, num_axes=num_axes), input, blobs=blobs)
    blobs = [constant("weight", weight)] + ([] if bias is None else [constant("bias", bias)])
    layer = Scale(axis=axis, num_axes=num_axes, bias_term=bias is not None)
    return net.add(layer, input, blobs=blobs)


def _computed_affine(
    net: Emitter, input: Symbol, weight: Operand | None, bias: Operand | None, rank: int
) -> Symbol:
    """Multiply by a weight and add a bias that the net computes, viewed with that rank."""
    top = input
    if weight is not None:
        top = product(net, top, _at_front(net, weight, rank, "weight"), suffix="scaled")
    if bias is not None:
        top = weighted_sum(net, top, _at_front(net, bias, rank, "bias"))
    return top


def _at_front(net: Emitter, value: Operand, rank: int, suffix: str) -> Operand:
    """Append axes of size 1 up to that rank."""
    ones = (1,) * (rank - len(value.shape))
    if isinstance(value, Symbol):
        return viewed(net, value, lambda s: (*s, *ones), suffix=suffix)
    return value.reshape(*value.shape, *ones)


@handles(F.local_response_norm)
def local_response_norm(
    net: Emitter,
    input: Symbol,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
) -> Symbol:
    """Emit LRN; its window has odd size, so an even size, longer in front, is decomposed."""
    if size % 2 == 0:
        return _even_response_norm(net, input, size, alpha, beta, k)
    layer = LRN(local_size=size, alpha=alpha, beta=beta, k=k)
    if input.rank == 4:
        return net.add(layer, input)
    flat = viewed(net, input, lambda sizes: (*sizes[:2], prod(sizes[2:]), 1), suffix="flat")
    return reshaped(net, net.add(layer, flat, suffix="lrn"), input.shape, input.other_shape)


def _even_response_norm(
    net: Emitter, input: Symbol, size: int, alpha: float, beta: float, k: float
) -> Symbol:
    """Compute x / (k + alpha mean(x^2))^beta; the mean is a band matrix over the channels."""
    count = input.static_size(1)
    steps = torch.arange(count)[None] - torch.arange(count)[:, None]
    band = (steps >= -(size // 2)) & (steps <= (size - 1) // 2)
    squares = net.add(Power(power=2), input, suffix="squares")
    means = inside(net, "means", along, squares, 1, band.double() * alpha / size)
    factor = net.add(Power(power=-beta, shift=k), means, suffix="factor")
    return net.add(Binary(op=BinaryOp.MUL), input, factor)


@handles(F.normalize)
def normalize(
    net: Emitter,
    input: Symbol,
    p: float = 2.0,
    dim: int | tuple[int, ...] = 1,
    eps: float = 1e-12,
) -> Symbol:
    """Compute x / max(norm, eps)."""
    size = clipped(
        net, normed(net, input, p, dim, None, suffix="norm"), eps, None, suffix="bounded"
    )
    inverse = net.add(Power(power=-1), size, suffix="inverse")
    return net.add(Binary(op=BinaryOp.MUL), input, kept(net, inverse, input, dim))
