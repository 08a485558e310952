"""Preprocessing: the arithmetic that turns raw pixels into the model's input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

import torch
from torch import Tensor

from caffe2fx.errors import CaffeError, ShapeMismatchError
from caffe2fx.messages.message import Shape
from caffe2fx.optimize.affine import Affine


@dataclass(frozen=True)
class Preprocessing:
    """Holds the map from raw pixels to the model's input: (pixels * scale - mean) / std.

    `mean` and `std` are one value, or one for each channel in the model's own order (RGB);
    `channel_order` is the order in which the caller feeds the exported net: OpenCV and Caffe's
    own tools read BGR. Raises CaffeError for a std or scale of 0 and for values that are not
    finite.

        Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), scale=1 / 255,
                      channel_order="BGR")
    """

    mean: float | Sequence[float] = 0.0
    std: float | Sequence[float] = 1.0
    scale: float = 1.0
    channel_order: Literal["RGB", "BGR"] = "RGB"

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", _floats("mean", self.mean))
        object.__setattr__(self, "std", _floats("std", self.std))
        _floats("scale", self.scale)
        if 0 in _floats("std", self.std) or self.scale == 0:
            raise CaffeError(f"preprocessing needs std and scale other than 0, got {self}")
        if self.channel_order not in ("RGB", "BGR"):
            raise CaffeError(f"channel_order needs to be RGB or BGR, got {self.channel_order!r}")

    @property
    def swaps(self) -> bool:
        """Return whether the caller's channels are in the reverse of the model's order."""
        return self.channel_order == "BGR"

    def check(self, blob: str, shape: Shape) -> None:
        """Raise ShapeMismatchError unless mean, std and channel_order fit inputs of that shape."""
        channels = shape[1] if len(shape) > 1 else 0
        if self.swaps and channels != 3:
            raise ShapeMismatchError(f"channel_order BGR needs 3 channels, got {blob!r} {shape}")
        for name, given in (("mean", self.mean), ("std", self.std)):
            values = _floats(name, given)
            if len(values) not in (1, channels) or not channels:
                raise ShapeMismatchError(
                    f"{name} needs one number or one a channel, got {values} for {blob!r} {shape}"
                )

    def apply(self, raw: Tensor) -> Tensor:
        """Return the model's input for raw pixels (N, C, ...), in their own float dtype."""
        ordered = raw.flip(1) if self.swaps else raw
        return (ordered * self.scale - _column(self.mean, raw)) / _column(self.std, raw)

    def undo(self, input: Tensor) -> Tensor:
        """Return the raw pixels (N, C, ...) for which `apply` returns `input`."""
        ordered = (input * _column(self.std, input) + _column(self.mean, input)) / self.scale
        return ordered.flip(1) if self.swaps else ordered

    def affine(self, channels: int) -> Affine:
        """Return factor and offset of each channel in the model's order, in float64."""
        std, mean = (
            torch.tensor(_floats(name, given), dtype=torch.float64).expand(channels)
            for name, given in (("std", self.std), ("mean", self.mean))
        )
        return Affine(self.scale / std, -mean / std)


def _floats(name: str, given: Any) -> tuple[float, ...]:
    values = tuple(map(float, given)) if hasattr(given, "__len__") else (float(given),)
    if not values or not all(map(isfinite, values)):
        raise CaffeError(f"{name} needs finite numbers, got {given!r}")
    return values


def _column(values: float | Sequence[float], like: Tensor) -> Tensor:
    """Return one value per channel as (1, C, 1, ...), in the rank and dtype of `like`."""
    column = torch.tensor(_floats("channels", values), dtype=torch.float64).to(like.dtype)
    return column.reshape(1, -1, *(1,) * (like.dim() - 2))
