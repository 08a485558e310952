"""Layers that take rows by index: of a bottom, or of a table of weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.layer import MANY, Layer, needs_indices
from caffe2fx.layers.registry import register
from caffe2fx.messages.common import Filler
from caffe2fx.messages.message import Shape, field


@register
@dataclass(frozen=True, kw_only=True)
class BatchReindex(Layer):
    """Gather rows (axis 0) of the first bottom at the indices in the second, which has rank 1.

    Caffe aborts on an index out of range. Indices are float32 truncated to integers, so that only
    those up to 2^24 are distinct.
    """

    type = "BatchReindex"
    message = ""
    bottoms = (2, 2)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if len(bottoms[1]) != 1:
            raise ShapeMismatchError(f"needs row indices of rank 1, got {tuple(bottoms[1])}")
        if not bottoms[0]:
            raise ShapeMismatchError("needs a first bottom of rank 1 or more, got a scalar")

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return ((bottoms[1][0], *bottoms[0][1:]),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (_rows(bottoms[0], bottoms[1]),)


@register
@dataclass(frozen=True, kw_only=True)
class Filter(Layer):
    """Keep the rows (axis 0) of all bottoms but the last for which the last one is not 0.

    The number of rows depends on the data of each forward. When a net is made, in Caffe as here,
    the layers after this one are given the shape that all rows would have.
    """

    type = "Filter"
    message = ""
    bottoms = (2, MANY)
    tops = (1, MANY)
    has_dynamic_shape = True

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        *filtered, selector = bottoms
        if tops != len(filtered):
            raise ShapeMismatchError(f"needs {len(filtered)} top(s), one a bottom, got {tops}")
        if not selector or any(size != 1 for size in selector[1:]):
            raise ShapeMismatchError(f"needs a selector (N, 1, ...), got {tuple(selector)}")
        if any(bottom[:1] != selector[:1] for bottom in filtered):
            rows = [tuple(bottom) for bottom in filtered]
            raise ShapeMismatchError(f"needs bottoms of {selector[0]} rows each, got {rows}")

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return tuple(map(tuple, bottoms[:-1]))

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        *filtered, selector = bottoms
        chosen = selector.flatten() != 0
        return tuple(bottom[chosen] for bottom in filtered)


@register
@dataclass(frozen=True, kw_only=True)
class Embed(Layer):
    """Gather rows of the table of weights at the bottom's indices, truncated to integers.

    The table is (input_dim, num_output). Caffe does not check indices outside [0, input_dim) and
    reads whatever memory is there: here they are an error.
    """

    type = "Embed"
    parameter = ("embed_param", 137)
    message = "EmbedParameter"

    num_output: int = field(1, "uint32", absent=0)
    input_dim: int = field(2, "uint32", absent=0)
    bias_term: bool = field(3, "bool", True)
    weight_filler: Filler | None = field(4, Filler)
    bias_filler: Filler | None = field(5, Filler)

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        table = (self.input_dim, self.num_output)
        return (table, (self.num_output,)) if self.bias_term else (table,)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if self.num_output < 1 or self.input_dim < 1:
            raise ShapeMismatchError(
                f"needs input_dim and num_output, got {self.input_dim} and {self.num_output}"
            )

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return ((*bottoms[0], self.num_output),)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        rows = _rows(blobs[0], bottoms[0])
        return (rows + blobs[1] if self.bias_term else rows,)


def _rows(table: Tensor, indices: Tensor) -> Tensor:
    """Return the rows of a table at the given indices, truncated to integers."""
    wanted = indices.long()
    needs_indices("rows", wanted, len(table))
    return table[wanted]
