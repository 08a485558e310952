"""Caffe's fillers: initial values of a weight blob without a file (include/caffe/filler.hpp)."""

from __future__ import annotations

from collections.abc import Callable
from math import prod, sqrt

import torch
from torch import Tensor

from caffe2fx.errors import CaffeFormatError, ShapeMismatchError
from caffe2fx.messages.common import Filler, VarianceNorm
from caffe2fx.messages.message import Shape


def fill(filler: Filler, shape: Shape) -> Tensor:
    """Return a new blob filled by `filler`; random ones draw from torch's generator.

    Raises CaffeFormatError for a filler that Caffe does not have or that it aborts on, and
    ShapeMismatchError for a shape that the filler does not take.
    """
    check(filler, shape)
    return _FILLERS[filler.type](filler, shape)


def check(filler: Filler, shape: Shape) -> None:
    """Raise CaffeFormatError or ShapeMismatchError where Caffe itself aborts."""
    if filler.type not in _FILLERS:
        raise CaffeFormatError(f"filler needs to be one of {sorted(_FILLERS)}, got {filler.type!r}")
    if filler.type == "bilinear":
        check_bilinear(shape)
    _check_sparse(filler, shape)
    if filler.type == "gaussian" and not filler.std > 0:
        raise CaffeFormatError(f"needs a gaussian filler with std > 0, got {filler.std}")
    # Where the bounds differ by more than the largest float, Caffe draws infinities.
    if filler.type == "uniform" and not 0 <= filler.max - filler.min <= _LARGEST:
        least, most = filler.min, filler.max
        raise CaffeFormatError(f"needs a uniform filler with min <= max, got {least} and {most}")


_LARGEST = torch.finfo(torch.float32).max


def _check_sparse(filler: Filler, shape: Shape) -> None:
    if filler.sparse == -1:
        return
    if filler.type != "gaussian":
        raise CaffeFormatError(f"needs a gaussian filler for sparse, got {filler.type!r}")
    if len(shape) < 1 or not 0 <= filler.sparse <= shape[0]:
        raise CaffeFormatError(
            f"needs a filler with sparse from 0 to its first size, got {filler.sparse} for {shape}"
        )


def _constant(filler: Filler, shape: Shape) -> Tensor:
    return torch.full(shape, filler.value)


def _uniform(filler: Filler, shape: Shape) -> Tensor:
    return torch.empty(shape).uniform_(filler.min, filler.max)


def _gaussian(filler: Filler, shape: Shape) -> Tensor:
    values = torch.empty(shape).normal_(filler.mean, filler.std)
    if filler.sparse < 0:
        return values
    # On average `sparse` inputs of each output are not zero.
    kept = filler.sparse / shape[0]
    return values * torch.bernoulli(torch.full(shape, kept))


def _fan(filler: Filler, shape: Shape) -> float:
    """Return Caffe's fan: the count without the first axis, the second, or the mean of both."""
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


def check_bilinear(shape: Shape) -> None:
    """Raise ShapeMismatchError for a shape that Caffe's bilinear filler does not take."""
    if len(shape) != 4 or shape[2] != shape[3]:
        raise ShapeMismatchError(
            f"needs a 4-D shape with square images for a bilinear filler, got {shape}"
        )


def _bilinear(filler: Filler, shape: Shape) -> Tensor:
    """Return the kernel of a deconvolution that interpolates bilinearly: a tent in each channel."""
    check_bilinear(shape)
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
