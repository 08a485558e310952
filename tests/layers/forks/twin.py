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
