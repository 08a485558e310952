"""Affine: a factor and an offset for each channel, in float64."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Affine(NamedTuple):
    """Holds the map y = factor * x + offset of each channel (axis 1), in float64."""

    factor: Tensor
    offset: Tensor

    def after(self, first: Affine) -> Affine:
        """Return the single map that applies `first` and then this one."""
        return Affine(self.factor * first.factor, self.factor * first.offset + self.offset)
