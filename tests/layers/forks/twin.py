"""Twins: layers by the sources of forks, as loops over arrays, one function a record.

A twin takes the record, its bottoms and its blobs, and returns the tops. It reads the record's
fields and none of its methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe2fx.layers.layer import Layer

Array = NDArray[np.float64]
Arrays = Sequence[Array]
Twin = Callable[[Any, Arrays, Arrays], tuple[Array, ...]]

TWINS: dict[type[Layer], Twin] = {}


def twin(*records: type[Layer]) -> Callable[[Twin], Twin]:
    """Take a function for the twin of some records."""

    def decorate(function: Twin) -> Twin:
        TWINS.update(dict.fromkeys(records, function))
        return function

    return decorate


def indices(shape: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Return every index of an array of that shape."""
    return product(*map(range, shape))


def at_all(*index: Any) -> Any:
    """Return an index of the axes behind the first two, of which it takes all."""
    return (slice(None), slice(None), *index)


def each(bottom: Array, function: Callable[[float], float]) -> tuple[Array, ...]:
    return (np.array([function(float(x)) for x in bottom.ravel()]).reshape(bottom.shape),)


def shuffled(bottom: Array, r: int) -> tuple[Array, ...]:
    n, c, height, width = bottom.shape
    top = np.zeros((n, c // r**2, height * r, width * r))
    for image, channel, y, x in indices(top.shape):
        source = channel * r * r + (y % r) * r + x % r
        top[image, channel, y, x] = bottom[image, source, y // r, x // r]
    return (top,)


def repeated(bottom: Array, height: int, width: int) -> Array:
    n, c, h, w = bottom.shape
    top = np.zeros((n, c, h * height, w * width))
    for y, x in indices(top.shape[2:]):
        top[:, :, y, x] = bottom[:, :, y // height, x // width]
    return top


def by_channel(blob: Array, rank: int) -> Array:
    return blob.reshape(1, -1, *(1,) * (rank - 2))


def statistics(blobs: Arrays, rank: int) -> tuple[Array, Array]:
    """Return the mean and the variance that BatchNorm's three blobs hold."""
    factor = 0.0 if blobs[2][0] == 0 else 1 / blobs[2][0]
    return by_channel(blobs[0], rank) * factor, by_channel(blobs[1], rank) * factor


def moments(bottom: Array) -> tuple[Array, Array]:
    """Return the mean and the variance of the batch, for each channel."""
    axes = tuple(axis for axis in range(bottom.ndim) if axis != 1)
    mean = bottom.mean(axes, keepdims=True)
    return mean, (bottom**2).mean(axes, keepdims=True) - mean**2
