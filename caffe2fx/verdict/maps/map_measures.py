"""Further measures of one map against its reference: similarity, where it errs, NaN.

They are taken in the run that the verdict needs anyway, a block at a time and by numpy, whose
calls do not pass through torch's modes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, isfinite, log10, nan, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from caffe2fx.messages.message import Shape
from caffe2fx.verdict.maps.measures import PIECE, difference

Floats = NDArray[np.floating]
GROUPS = 32  # of channels, for each map


@dataclass(frozen=True)
class MapMeasures:
    """Holds measures of one map against its reference, end to end; NaN and () where shapes differ.

    `max_abs` is the largest difference, `cosine` that of the angle between both, `relu_cosine` the
    same after a ReLU, `l2` the Euclidean distance, and `psnr` the square of the reference's range
    over the mean squared error in dB. `worst` is the index of the largest error and `values` are
    the map's and the reference's element there. `nan` and `inf` count such elements of the map and
    of the reference. `by_channel` holds the largest error of each channel (index of axis 1), or of
    groups of neighbours, and `wrong_channels` counts the channels whose largest error is at least
    half of the map's; all of these are empty where nothing differs.
    """

    max_abs: float = nan
    cosine: float = nan
    relu_cosine: float = nan
    l2: float = nan
    psnr: float = nan
    worst: Shape = ()
    values: tuple[float, ...] = ()
    nan: tuple[int, int] = (0, 0)
    inf: tuple[int, int] = (0, 0)
    channels: int = 0
    wrong_channels: int = 0
    by_channel: tuple[float, ...] = ()

    @property
    def channel(self) -> int | None:
        """Return the channel of the largest error; None for a map without channels or errors."""
        return self.worst[1] if len(self.worst) > 1 and self.by_channel else None


NO_MEASURES = MapMeasures()


def measure(mine: Tensor, reference: Tensor) -> MapMeasures:
    """Return the measures of a map against the reference."""
    if mine.shape != reference.shape:
        return MapMeasures(max_abs=inf)
    if not mine.numel():
        return MapMeasures(max_abs=0.0)
    sums = _Sums(mine, reference)
    found = sums.measures()
    if sums.is_finite:
        return found
    return MapMeasures(**{**vars(found), "max_abs": difference(mine, reference)})


def as_blocks(values: Floats) -> Floats:
    """Return a map as samples x channels x all else; a vector has one channel."""
    if values.ndim < 2:
        return values.reshape(1, 1, -1)
    return values.reshape(*values.shape[:2], -1)


def _blocks(values: Floats) -> Iterator[tuple[int, slice]]:
    """Yield the parts of a map in its order, each of one sample and of PIECE elements at most."""
    samples, channels, rest = values.shape
    step = max(1, PIECE // max(1, rest))
    for sample in range(samples):
        for first in range(0, channels, step):
            yield sample, slice(first, first + step)


class _Sums:
    """Holds the sums and extremes of a pass over the blocks of a map and its reference."""

    def __init__(self, mine: Tensor, reference: Tensor) -> None:
        self.shape = tuple(mine.shape)
        self.mine, self.reference = (as_blocks(v.detach().numpy()) for v in (mine, reference))
        self.products = np.zeros(6)  # mine, reference, both; the same after a ReLU
        self.squared_error = 0.0  # the sum of squared differences
        self.low, self.high, self.is_finite = inf, -inf, True
        self.errors = np.zeros(self.mine.shape[1])
        self.most, self.where = -1.0, (0, 0, 0)
        for part in _blocks(self.mine):
            self._add(part, self.mine[part], self.reference[part])

    def _add(self, part: tuple[int, slice], mine: Floats, reference: Floats) -> None:
        one, two = (np.ascontiguousarray(value, np.float64).ravel() for value in (mine, reference))
        lows = one.min(), two.min()
        self.low, self.high = min(self.low, lows[1]), max(self.high, two.max())
        straight = _products(one, two)
        positive = min(lows) >= 0
        after = straight if positive else _products(one.clip(0), two.clip(0))
        self.products += (*straight, *after)
        with np.errstate(invalid="ignore"):
            difference = one - two
        squared = float(difference @ difference)
        self.squared_error += squared
        self.is_finite &= isfinite(squared) and isfinite(straight[0]) and isfinite(straight[1])
        if squared != 0 or difference.any():
            self._errors(part, mine, reference, difference.reshape(mine.shape))

    def _errors(
        self, part: tuple[int, slice], mine: Floats, reference: Floats, difference: Floats
    ) -> None:
        errors = np.abs(difference, out=difference)
        if not self.is_finite:
            same = (mine == reference) | (np.isnan(mine) & np.isnan(reference))
            errors = np.where(same, 0.0, np.nan_to_num(errors, nan=inf, posinf=inf))
        sample, channels = part
        by_channel = errors.max(1)
        np.maximum(self.errors[channels], by_channel, out=self.errors[channels])
        most = float(by_channel.max())
        if most > self.most:
            channel = int(by_channel.argmax())
            self.most = most
            self.where = (sample, channels.start + channel, int(errors[channel].argmax()))

    def measures(self) -> MapMeasures:
        """Return the measures of the whole map."""
        mean = self.squared_error / self.mine.size
        found: dict[str, Any] = {
            "max_abs": max(0.0, self.most),
            "cosine": _cosine(*self.products[:3]),
            "relu_cosine": _cosine(*self.products[3:]),
            "l2": sqrt(self.squared_error) if self.squared_error >= 0 else nan,
            "psnr": _psnr(float(self.high) - float(self.low), mean),
        }
        if not self.is_finite:
            found |= {"nan": _counted(np.isnan, self.mine, self.reference)}
            found |= {"inf": _counted(np.isinf, self.mine, self.reference)}
        return MapMeasures(**found, **(self._where() if self.most > 0 else {}))

    def _where(self) -> dict[str, Any]:
        return {
            "worst": _index(self.where, self.shape),
            "values": (float(self.mine[self.where]), float(self.reference[self.where])),
            "channels": len(self.errors),
            "wrong_channels": int((self.errors >= self.errors.max() / 2).sum()),
            "by_channel": grouped(self.errors, GROUPS),
        }


def _index(where: tuple[int, int, int], shape: Shape) -> Shape:
    """Return the index in a map of a shape, of an element in its blocks."""
    sample, channel, at = where
    if len(shape) < 2:
        return (at,) if shape else ()
    return (sample, channel, *map(int, np.unravel_index(at, shape[2:])))


def _products(one: Floats, two: Floats) -> tuple[float, float, float]:
    with np.errstate(invalid="ignore", over="ignore"):
        return float(one @ one), float(two @ two), float(one @ two)


def _cosine(one: float, two: float, both: float) -> float:
    if one == 0 or two == 0:
        return float(one == two)
    length = sqrt(one) * sqrt(two)
    return min(1.0, both / length) if length < inf else nan


def _psnr(extent: float, squared: float) -> float:
    if squared == 0:
        return inf
    return 10 * log10(extent**2 / squared) if 0 < extent < inf and 0 < squared < inf else nan


def _counted(is_one: np.ufunc, mine: Floats, reference: Floats) -> tuple[int, int]:
    return int(is_one(mine).sum()), int(is_one(reference).sum())


def channel_errors(mine: Tensor, reference: Tensor) -> Floats:
    """Return the largest absolute error of each channel; an infinite one where one side is NaN."""
    return _Sums(mine, reference).errors


def grouped(errors: Floats, most: int) -> tuple[float, ...]:
    """Return the largest errors of at most that many groups of neighbours."""
    size = -(-len(errors) // most)
    return tuple(float(errors[at : at + size].max()) for at in range(0, len(errors), size))
