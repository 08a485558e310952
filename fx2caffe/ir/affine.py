"""Affine: a factor and an offset for each channel, in float64."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Affine(NamedTuple):
    """y = factor * x + offset for each channel (axis 1), in float64."""

    factor: Tensor
    offset: Tensor

    def after(self, first: Affine) -> Affine:
        """The one map that does `first` and then this one."""
        return Affine(self.factor * first.factor, self.factor * first.offset + self.offset)
