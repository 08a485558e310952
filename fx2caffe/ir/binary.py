"""Binary: elementwise arithmetic of two bottoms that broadcast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from caffe2fx.layers import Eltwise, EltwiseOp
from caffe2fx.messages.message import Shape
from fx2caffe.ir.record import IntermediateRecord
from fx2caffe.ir.symbol import Refused

PRODUCT = Eltwise(operation=EltwiseOp.PROD)  # of bottoms of one shape


class BinaryOp(Enum):
    """Selects the operation that Binary applies to each pair of elements."""

    ADD = "ADD"
    MUL = "MUL"
    DIV = "DIV"
    MAX = "MAX"
    MIN = "MIN"


_MEANING: dict[BinaryOp, Callable[[Tensor, Tensor], Tensor]] = {
    BinaryOp.MUL: torch.mul,
    BinaryOp.DIV: torch.div,
    BinaryOp.MAX: torch.maximum,
    BinaryOp.MIN: torch.minimum,
}


@dataclass(frozen=True, kw_only=True)
class Binary(IntermediateRecord):
    """Apply op elementwise with torch's broadcasting; ADD gives coeff[0] a + coeff[1] b."""

    type = "Binary"
    bottoms = (2, 2)

    op: BinaryOp
    coeff: tuple[float, float] = (1.0, 1.0)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        rank = max(map(len, bottoms))
        one, two = ((1,) * (rank - len(bottom)) + tuple(bottom) for bottom in bottoms)
        if any(1 not in (a, b) and a != b for a, b in zip(one, two, strict=True)):
            raise Refused(f"needs shapes that broadcast, got {bottoms[0]} and {bottoms[1]}")
        return (tuple(b if a == 1 else a for a, b in zip(one, two, strict=True)),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        first, second = bottoms
        if self.op is BinaryOp.ADD:
            return (first * self.coeff[0] + second * self.coeff[1],)
        return (_MEANING[self.op](first, second),)
