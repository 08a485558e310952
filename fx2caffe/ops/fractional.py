"""Fractional max pooling, where its random samples are constant."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe2fx.messages.message import Shape
from fx2caffe.ir.data_movement import take_at
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.reduce import ReduceOp
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.arguments import Sizes, constant, per_axis
from fx2caffe.ops.reduction import reduced


def _pooling(axes: int, *, indices: bool) -> Any:
    def fractional_max_pool(
        net: Emitter,
        input: Symbol,
        kernel_size: Sizes,
        output_size: Sizes | None = None,
        output_ratio: float | Sequence[float] | None = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
        *,
        out: Expected,
    ) -> Symbol | tuple[Symbol, None]:
        """Take the maximum of each window; the windows differ by sample and plane."""
        if indices and 1 in out.read:
            raise Refused("needs the maxima alone to be read, got a reader of their indices")
        meta = out.meta[0] if indices else out.meta
        samples = constant("_random_samples", _random_samples)
        if input.shape != input.other_shape:
            net.fix_batch(f"{net.scope[0]} has windows of each sample's own")
        windows = _windows(input.shape, per_axis(kernel_size, axes), meta.shape[-axes:], samples)
        taken = take_at(net, input, windows, windows)
        top = reduced(net, ReduceOp.MAX, taken, -1)
        return (top, None) if indices else top

    return fractional_max_pool


handles(F.fractional_max_pool2d)(_pooling(2, indices=False))
handles(F.fractional_max_pool3d)(_pooling(3, indices=False))
handles(F.fractional_max_pool2d_with_indices)(_pooling(2, indices=True))
handles(F.fractional_max_pool3d_with_indices)(_pooling(3, indices=True))


def _operator(axes: int) -> Any:
    """Return the handler of torch's operator, which takes its samples without a name."""
    pooling = _pooling(axes, indices=True)

    def fractional_max_pool(
        net: Emitter,
        input: Symbol,
        kernel_size: Sizes,
        output_size: Sizes,
        random_samples: Tensor,
        *,
        out: Expected,
    ) -> Any:
        return pooling(
            net, input, kernel_size, output_size, _random_samples=random_samples, out=out
        )

    return fractional_max_pool


handles(torch._C._nn.fractional_max_pool2d)(_operator(2))
handles(torch._C._nn.fractional_max_pool3d)(_operator(3))


def _windows(input: Shape, kernel: Sequence[int], shape: Sequence[int], samples: Tensor) -> Tensor:
    """Return the flat indices that each window reads; the taps are the last axis.

    In a tensor whose elements grow along every axis, a window's maximum is its last element.
    """
    sizes, lead = input[-len(kernel) :], input[: -len(kernel)]
    pool = getattr(torch._C._nn, f"fractional_max_pool{len(kernel)}d")
    growing = torch.arange(prod(sizes)).reshape(sizes).expand(input)
    found: list[Tensor] = [
        pool(growing.to(dtype), list(kernel), list(shape), samples.to(dtype))[1]
        for dtype in (torch.float32, torch.float64)
    ]
    if not torch.equal(*found):
        raise Refused("needs random samples whose windows are exact in float32, got others")
    taps = torch.cartesian_prod(*(torch.arange(size) for size in kernel)).reshape(-1, len(kernel))
    steps = torch.tensor([prod(sizes[axis + 1 :]) for axis in range(len(sizes))])
    planes = torch.arange(prod(lead)).reshape(*lead, *(1,) * len(kernel)) * prod(sizes)
    return (found[0] + planes)[..., None] - (taps * steps).sum(1)
