"""Similarity of two feature maps, in the measures by which dumps and older tools judge."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log10, nan

import torch
from torch import Tensor

from caffe2fx.verdict.maps.measures import difference, largest


@dataclass(frozen=True)
class Similarity:
    """Holds measures of one map against a reference; NaN where the shapes differ.

    `cosine` is that of the angle between the two (1 where both are zero), `relu_cosine` the same
    after a ReLU, `l2` the Euclidean distance, `max_abs` the largest difference, `error` the same as
    a share of the reference's largest magnitude, and `sqnr` the energy of the reference over that
    of the difference in dB (infinite where nothing differs).
    """

    cosine: float
    relu_cosine: float
    l2: float
    max_abs: float
    error: float
    sqnr: float


NO_SIMILARITY = Similarity(nan, nan, nan, nan, nan, nan)


def similarity(mine: Tensor, reference: Tensor) -> Similarity:
    """Return the measures of a map against the reference."""
    if mine.shape != reference.shape:
        return NO_SIMILARITY
    one, other = mine.detach().double().flatten(), reference.detach().double().flatten()
    apart = difference(one, other)
    size = largest(other)
    distance = float((one - other).norm())
    return Similarity(
        cosine=_cosine(one, other),
        relu_cosine=_cosine(one.relu(), other.relu()),
        l2=distance,
        max_abs=apart,
        error=apart / size if size else (inf if apart else 0.0),
        sqnr=_sqnr(float(other.norm()), distance),
    )


def _sqnr(signal: float, noise: float) -> float:
    if noise == 0:
        return inf
    return 20 * log10(signal / noise) if signal > 0 and noise < inf else -inf


def _cosine(one: Tensor, other: Tensor) -> float:
    length = float(one.norm() * other.norm())
    return float(one @ other) / length if length else float(torch.equal(one, other))
