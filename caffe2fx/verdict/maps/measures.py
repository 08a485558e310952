"""Measures and limits of the verdict: error, signal, and the error that is allowed."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isfinite, nan, sqrt

import torch
from torch import Tensor

ALONE = 1e-5  # of the signal, for sums of up to SHORT terms
SHORT = 1024
NOISE_FACTOR = 4.0
NOISE_FLOOR = 1e-6  # of the signal
ULP = 2.0**-23  # of the largest value: the precision of float32
PIECE = 2**22  # elements that are compared at a time


def alone_limit(signal: float, length: float, size: float = 0.0, noise: float = 0.0) -> float:
    """Return a layer's error limit alone, for sums of `length` terms; `noise` is float32's own.

    A map of few elements may show none of its noise: a result of that size is rounded at least,
    and the deviation of a sum of equal terms, one after the other, is a third of their root of it.
    """
    growth = sqrt(max(1.0, length / SHORT))
    rounding = ULP / 2 * size * sqrt(max(1.0, length / 9))
    return max(ALONE * signal * growth, NOISE_FACTOR * max(noise, rounding))


def end_limit(noise: float, signal: float) -> float:
    """Return the limit of a map's error end to end."""
    return NOISE_FACTOR * noise + NOISE_FLOOR * signal


def largest(value: Tensor) -> float:
    """Return the largest finite magnitude; 0 if there is none.

    Infinities and NaN are no signal (masks consist of them): the finite elements have to be right
    by their own magnitude.
    """
    worst = largest_of_all(value)
    return worst if isfinite(worst) else largest_of_all(value.detach()[value.isfinite()])


def moved(one: Tensor, two: Tensor) -> float:
    """Return the largest change between two maps where both are finite."""
    return _of_pieces(_moved, one, two)


def _moved(one: Tensor, two: Tensor) -> float:
    worst = largest_of_all(one - two)
    if isfinite(worst):  # all elements are: one pass where the general case takes many
        return worst
    same = (one == two) | (one.isnan() & two.isnan())
    return largest(torch.where(same, torch.zeros_like(one), one - two))


def _of_pieces(measure: Callable[[Tensor, Tensor], float], one: Tensor, two: Tensor) -> float:
    """Return the largest measure of two maps' pieces, NaN if one is; pieces save memory."""
    pieces = (torch.split(value.reshape(-1), PIECE) for value in (one, two))
    measures = [measure(*pair) for pair in zip(*pieces, strict=True)]
    return nan if any(value != value for value in measures) else max(measures)


def positions_moved(one: Tensor, two: Tensor) -> bool:
    """Return whether NaN or infinities are elsewhere in one of two maps than in the other."""
    if isfinite(largest_of_all(one)) and isfinite(largest_of_all(two)):
        return False
    return not torch.equal(one.isnan(), two.isnan()) or not torch.equal(one.isinf(), two.isinf())


def largest_of_all(value: Tensor) -> float:
    """Return the largest magnitude, infinities among them; NaN if there is one, 0 for none."""
    return float(value.detach().abs().max()) if value.numel() else 0.0


def difference(mine: Tensor, reference: Tensor) -> float:
    """Return the largest absolute difference; infinite where shapes differ or one side is NaN."""
    if tuple(mine.shape) != tuple(reference.shape):
        return inf
    return _of_pieces(_difference, mine, reference)


def shape_fault(got: Tensor, wanted: Tensor) -> str:
    """Return how the shape of a result is wrong, empty if it is right."""
    if got.shape == wanted.shape:
        return ""
    return f"it needs shape {tuple(wanted.shape)}, got {tuple(got.shape)}"


def _difference(mine: Tensor, reference: Tensor) -> float:
    difference = mine.double() - reference
    worst = largest_of_all(difference)
    if isfinite(worst):
        return worst
    same = (mine == reference) | (mine.isnan() & reference.isnan())
    difference = torch.where(same, torch.zeros_like(difference), difference)
    worst = largest_of_all(difference)
    return inf if worst != worst else worst
