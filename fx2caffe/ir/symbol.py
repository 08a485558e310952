"""Symbol: a value of the net with its shape at two batch sizes; Refused: why it is not exact."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from caffe2fx.errors import CaffeError
from caffe2fx.messages.message import Shape
from caffe2fx.net.step import Value
from fx2caffe.errors import Signal


class Refused(CaffeError):
    """Raised by a handler or rule: `needs <constraint>, got <value>`; the driver adds the line."""


class FixBatch(Signal):
    """Raised where layers can be built for the example's batch size only: the next attempt's."""


@dataclass(frozen=True)
class Symbol:
    """Represents a traced tensor while the net is built: its value, shape and dtype.

    The shape is known at two batch sizes, the example's and another; an axis carries the batch if
    and only if its size differs.
    """

    value: Value
    shape: Shape
    other_shape: Shape
    dtype: torch.dtype = torch.float32

    @property
    def rank(self) -> int:
        """Return the number of axes."""
        return len(self.shape)

    def carries_batch(self, axis: int) -> bool:
        """Return whether the size of this axis follows the batch size."""
        return self.shape[axis] != self.other_shape[axis]

    def static_size(self, axis: int) -> int:
        """Return the size of an axis. Raises Refused if it follows the batch, and for a scalar."""
        if not self.shape:
            raise Refused("needs a tensor with axes, got a scalar")
        if self.carries_batch(axis):
            raise Refused(f"needs a size that does not depend on the batch, got axis {axis}")
        return self.shape[axis]


Operand = Symbol | Tensor  # traced, or a constant
