"""The windows of a pooling, from torch's arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from caffe2fx.messages.message import Shape
from fx2caffe.ir.symbol import Refused
from fx2caffe.ops.arguments import Sizes, per_axis


@dataclass(frozen=True)
class Windows:
    """Holds kernel, stride, pad and dilation by axis; `ceil` keeps a partial last window."""

    kernel: Shape
    stride: Shape
    pad: Shape
    dilation: Shape
    ceil: bool

    @classmethod
    def of(
        cls, axes: int, kernel: Sizes, stride: Sizes | None, pad: Sizes, dilation: Sizes, ceil: bool
    ) -> Windows:
        """Return the windows of torch's arguments; the stride defaults to the kernel."""
        sizes = per_axis(kernel, axes)
        steps = sizes if stride is None or stride in ((), []) else per_axis(stride, axes)
        return cls(sizes, steps, per_axis(pad, axes), per_axis(dilation, axes), ceil)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """Return the arguments of torch's average pooling."""
        return self.kernel, self.stride, self.pad, self.ceil

    def count(self, axis: int, size: int) -> int:
        """Return torch's number of windows on an axis; none starts behind the end."""
        step, pad = self.stride[axis], self.pad[axis]
        reach = size + 2 * pad - self.dilation[axis] * (self.kernel[axis] - 1) - 1
        count = (-(-reach // step) if self.ceil else reach // step) + 1
        return count - 1 if self.ceil and (count - 1) * step >= size + pad else count

    def only(self, *axes: int) -> Windows:
        """Return the windows of some of the axes."""
        kernel, stride, pad, dilation = (
            tuple(values[axis] for axis in axes)
            for values in (self.kernel, self.stride, self.pad, self.dilation)
        )
        return Windows(kernel, stride, pad, dilation, self.ceil)

    def with_axis_before(self) -> Windows:
        """Return windows over one axis as windows over two, the first of size 1."""
        return _joined(Windows((1,), (1,), (0,), (1,), self.ceil), self)

    def with_axis_after(self) -> Windows:
        """Return windows over one axis as windows over two, the second of size 1."""
        return _joined(self, Windows((1,), (1,), (0,), (1,), self.ceil))

    def taps(self, axis: int, size: int) -> list[list[int]]:
        """Return the indices that each window reads; one outside is replaced by one inside."""
        found = []
        for index in range(self.count(axis, size)):
            start = index * self.stride[axis] - self.pad[axis]
            indices = [start + self.dilation[axis] * tap for tap in range(self.kernel[axis])]
            inside = [read for read in indices if 0 <= read < size]
            if not inside:
                raise Refused(f"needs an element under every window, got none from {start} on")
            found.append([read if 0 <= read < size else inside[0] for read in indices])
        return found


def _joined(first: Windows, second: Windows) -> Windows:
    return Windows(
        first.kernel + second.kernel,
        first.stride + second.stride,
        first.pad + second.pad,
        first.dilation + second.dilation,
        first.ceil,
    )


def adaptive_windows(shape: Shape, wanted: Shape) -> Windows:
    """Return windows that tile the last axes of a shape into `wanted` windows each."""
    sizes = shape[len(shape) - len(wanted) :]
    kernel = tuple(size // out for size, out in zip(sizes, wanted, strict=True))
    return Windows.of(len(wanted), kernel, kernel, 0, 1, True)


def bins(size: int, out: int) -> list[list[int]]:
    """Return the indices of torch's adaptive windows, all of one length: the last index repeats."""
    ranges = [(i * size // out, -(-(i + 1) * size // out)) for i in range(out)]
    longest = max(end - start for start, end in ranges)
    return [[min(start + tap, end - 1) for tap in range(longest)] for start, end in ranges]
