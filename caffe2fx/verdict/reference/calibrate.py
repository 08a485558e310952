"""Weights for tests: they keep the signal of any net alive from input to output."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from caffe2fx.layers import BatchNorm
from caffe2fx.layers.layer import RecordModule


def calibrate(model: nn.Module, inputs: Sequence[Tensor], *, seed: int = 0) -> nn.Module:
    """Give `model` random weights under which every feature map depends on the input.

    Matrices are scaled by their fan-in and then by the values that reach them, so that depth
    neither lets the signal explode nor vanish; BatchNorm statistics are those of the given inputs
    there, layer after layer (of many samples, if they are to hold for others). Caffe's own fillers
    do not suffice: their default is zero, and fresh BatchNorm blobs explode. The model is changed,
    returned, and left in eval mode.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.eval().modules():
            _refill(module, generator)
        _measure(model, inputs)
    return model


def _refill(module: nn.Module, generator: torch.Generator) -> None:
    if isinstance(module, RecordModule) and isinstance(module.layer, BatchNorm):
        return
    for name, parameter in module.named_parameters(recurse=False):
        _fill(name, parameter, generator)


def _fill(name: str, parameter: Tensor, generator: torch.Generator) -> None:
    if parameter.dim() > 1:
        fan_in = max(1, prod(parameter.shape[1:]))
        parameter.normal_(0, sqrt(2 / fan_in), generator=generator)
    elif name in ("weight", "blob0"):
        parameter.uniform_(0.5, 1.5, generator=generator)
    else:
        parameter.normal_(0, 0.1, generator=generator)


def _measure(model: nn.Module, inputs: Sequence[Tensor]) -> None:
    """Run one forward in which each layer is fitted to the values that reach it."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    handles = [norm.register_forward_pre_hook(_take_statistics) for norm in norms]
    handles += [
        module.register_forward_pre_hook(_take_blobs)
        for module in model.modules()
        if isinstance(module, RecordModule) and isinstance(module.layer, BatchNorm)
    ]
    handles += [
        module.register_forward_hook(_UnitVariance())
        for module in model.modules()
        if isinstance(module, _ConvNd | nn.Linear)
    ]
    try:
        model(*inputs)
    finally:
        for handle in handles:
            handle.remove()


def _moments(value: Tensor) -> tuple[Tensor, Tensor]:
    axes = [axis for axis in range(value.dim()) if axis != 1]
    variance = value.var(axes, correction=0)
    # Few samples can make one channel's variance tiny by chance, and another input explode.
    variance = (variance + variance.mean()) / 2
    # A map of one pixel has no variance: 1 keeps it as it is.
    return value.mean(axes), torch.where(variance > 1e-6, variance, torch.ones_like(variance))


class _UnitVariance:
    """Scales a product's weights so that its results have a deviation of 1, at its first call."""

    def __init__(self) -> None:
        self.done = False

    def __call__(self, module: nn.Module, args: tuple[Any, ...], result: Tensor) -> Tensor:
        if self.done:
            return result
        self.done = True
        spread = float(result.std(correction=0))
        if not spread > 1e-6:
            return result
        for parameter in module.parameters(recurse=False):
            parameter.div_(spread)
        return result / spread


def _take_statistics(norm: nn.Module, args: tuple[Any, ...]) -> None:
    assert isinstance(norm, _BatchNorm)
    if norm.running_mean is not None and norm.running_var is not None:
        mean, variance = _moments(args[0])
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        factor = getattr(norm, "factor", None)
        if isinstance(factor, Tensor):
            factor.fill_(1)  # a fresh one is 0, by which the statistics would have no effect


def _take_blobs(operation: nn.Module, args: tuple[Any, ...]) -> None:
    assert isinstance(operation, RecordModule)
    for blob, value in zip(operation.blobs, (*_moments(args[0]), torch.ones(1)), strict=True):
        blob.copy_(value)
