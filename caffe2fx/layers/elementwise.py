"""Eltwise: combines several bottoms of one shape elementwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import reduce

import torch
from torch import Tensor

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.layer import MANY, Layer
from caffe2fx.layers.registry import register
from caffe2fx.messages.common import Engine
from caffe2fx.messages.message import Shape, field, hint, repeated


class EltwiseOp(IntEnum):
    """Selects how the bottoms are combined."""

    PROD = 0
    SUM = 1
    MAX = 2


@register
@dataclass(frozen=True, kw_only=True)
class Eltwise(Layer):
    """Compute the product, weighted sum or maximum of bottoms of exactly equal shapes."""

    type = "Eltwise"
    parameter = ("eltwise_param", 110)
    message = "EltwiseParameter"
    bottoms = (2, MANY)

    operation: EltwiseOp = field(1, EltwiseOp, EltwiseOp.SUM)
    coeff: tuple[float, ...] = repeated(2, "float")
    stable_prod_grad: bool = field(3, "bool", True)
    engine: Engine | None = hint(Engine)

    def _canonical(self) -> dict[str, tuple[float, ...]]:
        idle = self.operation is EltwiseOp.SUM and len(self.coeff) > 1 and set(self.coeff) == {1.0}
        return {"coeff": () if idle else self.coeff}

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if any(tuple(bottom) != tuple(bottoms[0]) for bottom in bottoms):
            raise ShapeMismatchError(f"needs bottoms of one shape, got {list(bottoms)}")
        if self.coeff and len(self.coeff) != len(bottoms):
            raise ShapeMismatchError(
                f"needs one coeff a bottom, got {len(self.coeff)} for {len(bottoms)}"
            )
        if self.coeff and self.operation is EltwiseOp.PROD:
            raise ShapeMismatchError("needs SUM for coeff, got PROD")

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return (tuple(bottoms[0]),)

    def overwrites(self, bottoms: Sequence[Shape], tops: int) -> bool:
        return self.operation is EltwiseOp.PROD or self.coeff[:1] == (0.0,)

    def reads_before_writing(self, bottom: int) -> bool:
        # The first two are multiplied into the top; sums and maxima fill the top beforehand.
        return self.operation is EltwiseOp.PROD and bottom < 2

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        if self.operation is EltwiseOp.SUM:
            return (self._sum(bottoms),)
        if self.operation is EltwiseOp.PROD:
            return (reduce(torch.mul, bottoms),)
        return (_maximum(bottoms),)

    def _sum(self, bottoms: Sequence[Tensor]) -> Tensor:
        # Caffe skips a term whose coefficient is 0, so that 0 * inf does not become NaN.
        coefficients = self.coeff or (1.0,) * len(bottoms)
        terms = [b if c == 1 else b * c for b, c in zip(bottoms, coefficients, strict=True) if c]
        return reduce(torch.add, terms) if terms else torch.zeros_like(bottoms[0])


def _maximum(bottoms: Sequence[Tensor]) -> Tensor:
    """Return the maximum by Caffe's own comparisons, which decide whether a NaN is passed on.

    Of the first two bottoms the second is taken unless the first is larger; a later one is taken if
    it is larger.
    """
    first, second, *others = bottoms
    top = torch.where(first > second, first, second)
    for other in others:
        top = torch.where(other > top, other, top)
    return top
