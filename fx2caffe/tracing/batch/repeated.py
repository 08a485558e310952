"""Constants that follow the batch by holding the same elements for each sample."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from caffe2fx.messages.message import Shape


@dataclass(frozen=True, eq=False)
class Repeated:
    """Holds a constant that repeats `block` along `axis`, once for each sample."""

    axis: int
    block: Tensor
    shape: Shape  # at the example's batch size
    other_shape: Shape

    @classmethod
    def of(cls, one: Tensor, two: Tensor) -> Repeated | None:
        """Return the block that both constants repeat along the batch; None if there is none."""
        if one.dim() != two.dim() or not one.numel():
            return None
        axes = [a for a, (n, m) in enumerate(zip(one.shape, two.shape, strict=True)) if n != m]
        if len(axes) != 1:
            return None
        (axis,) = axes
        size = two.shape[axis] - one.shape[axis]
        if size < 1 or one.shape[axis] % size:
            return None
        block = two.narrow(axis, 0, size)
        found = cls(axis, block, tuple(one.shape), tuple(two.shape))
        return found if found.is_repeated_in(one) and found.is_repeated_in(two) else None

    @property
    def size(self) -> int:
        """Return the number of indices along the axis that each sample has."""
        return self.block.shape[self.axis]

    def is_repeated_in(self, value: Tensor) -> bool:
        """Return whether a tensor consists of copies of the block."""
        sizes = [s[: self.axis] + s[self.axis + 1 :] for s in (value.shape, self.block.shape)]
        if sizes[0] != sizes[1] or value.shape[self.axis] % self.size:
            return False
        times = value.shape[self.axis] // self.size
        repeats = value.reshape(*value.shape[: self.axis], times, *self.block.shape[self.axis :])
        return bool((repeats == self.block.unsqueeze(self.axis)).all())

    def narrowed(self) -> Tensor | None:
        """Return the constant with size 1 along the axis, None if its elements differ there."""
        line = self.block.narrow(self.axis, 0, 1)
        return line if bool((self.block == line).all()) else None


def grown(value: Tensor, repeated: Repeated, size: int) -> Tensor:
    """Return the constant of which `value` is one example with `size` indices along its axis."""
    block = value.narrow(repeated.axis, 0, repeated.size)
    sizes = [-1] * value.dim()
    if repeated.size == 1:
        sizes[repeated.axis] = size
        return block.expand(sizes)
    times = [1] * value.dim()
    times[repeated.axis] = size // repeated.size
    return block.repeat(times)
