"""Caffe's fillers: how a weight blob starts where no file gives it (include/caffe/filler.hpp)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod, sqrt

import torch
from torch import Tensor

from caffe2fx.errors import CaffeFormatError, ShapeMismatchError
from caffe2fx.layer import Layer
from caffe2fx.message import Filler, Shape, VarianceNorm
from caffe2fx.net import Net, Step


def fill(filler: Filler, shape: Shape) -> Tensor:
    """A new blob as `filler` makes it; random ones draw from torch's generator.

    Raises CaffeFormatError for a type that Caffe does not have.
    """
    made = _FILLERS.get(filler.type)
    if made is None:
        raise CaffeFormatError(f"filler needs to be one of {sorted(_FILLERS)}, got {filler.type!r}")
    return made(filler, shape)


def _constant(filler: Filler, shape: Shape) -> Tensor:
    return torch.full(shape, filler.value)


def _uniform(filler: Filler, shape: Shape) -> Tensor:
    return torch.empty(shape).uniform_(filler.min, filler.max)


def _gaussian(filler: Filler, shape: Shape) -> Tensor:
    values = torch.empty(shape).normal_(filler.mean, filler.std)
    if filler.sparse < 0:
        return values
    # On average `sparse` inputs of each output are not zero.
    kept = min(filler.sparse / shape[0], 1.0)
    return values * torch.bernoulli(torch.full(shape, kept))


def _fan(filler: Filler, shape: Shape) -> float:
    """Caffe's fans: the count without the first axis, and without the second."""
    fan_in = prod(shape) / shape[0]
    fan_out = prod(shape) / shape[1] if len(shape) > 1 else float(prod(shape))
    return {
        VarianceNorm.FAN_IN: fan_in,
        VarianceNorm.FAN_OUT: fan_out,
        VarianceNorm.AVERAGE: (fan_in + fan_out) / 2,
    }[filler.variance_norm]


def _xavier(filler: Filler, shape: Shape) -> Tensor:
    limit = sqrt(3 / _fan(filler, shape))
    return torch.empty(shape).uniform_(-limit, limit)


def _msra(filler: Filler, shape: Shape) -> Tensor:
    return torch.empty(shape).normal_(0, sqrt(2 / _fan(filler, shape)))


def _positive_unitball(filler: Filler, shape: Shape) -> Tensor:
    values = torch.rand(shape).reshape(shape[0], -1)
    return (values / values.sum(1, keepdim=True)).reshape(shape)


def _bilinear(filler: Filler, shape: Shape) -> Tensor:
    """The kernel with which a deconvolution interpolates: a tent over each image."""
    if len(shape) != 4 or shape[2] != shape[3]:
        raise ShapeMismatchError(f"a bilinear filler needs 4-D square images, got {shape}")
    half = (shape[3] + 1) // 2
    centre = (shape[3] - 1) / (2 * half)
    side = 1 - (torch.arange(shape[3]) / half - centre).abs()
    return (side[:, None] * side[None, :]).expand(shape).clone()


_FILLERS: dict[str, Callable[[Filler, Shape], Tensor]] = {
    "constant": _constant,
    "uniform": _uniform,
    "gaussian": _gaussian,
    "xavier": _xavier,
    "msra": _msra,
    "positive_unitball": _positive_unitball,
    "bilinear": _bilinear,
}


def with_fresh_blobs(net: Net) -> Net:
    """The net with every weight blob as Caffe itself would start it."""
    shapes = net.shapes()
    steps = tuple(_fresh(step, [shapes[bottom] for bottom in step.bottoms]) for step in net.steps)
    return replace(net, steps=steps)


def _fresh(step: Step, bottoms: list[Shape]) -> Step:
    shapes = step.layer.blob_shapes(bottoms)
    fillers = (*fillers_of(step.layer, len(shapes)), *(Filler(),) * len(shapes))
    blobs = tuple(fill(filler, shape) for filler, shape in zip(fillers, shapes, strict=False))
    return replace(step, blobs=blobs)


def fillers_of(layer: Layer, count: int) -> tuple[Filler, ...]:
    """The fillers of a layer's blobs in file order; Caffe's default is the constant 0."""
    first = getattr(layer, "weight_filler", None) or getattr(layer, "filler", None)
    bias = getattr(layer, "bias_filler", None) or Filler()
    if first is None:
        first = Filler(value=_STARTS.get(layer.type, 0.0))
    return (bias,) if layer.type == "Scale" and count < 1 + layer.bias_term else (first, bias)  # type: ignore[attr-defined]


_STARTS = {"Scale": 1.0, "PReLU": 0.25}
