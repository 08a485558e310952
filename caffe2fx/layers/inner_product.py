"""InnerProduct: a weight matrix over all axes from one on, flattened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch.nn.functional as F
from torch import Tensor, nn

from caffe2fx.layers.layer import Layer, axis_of, needs_one, torch_module
from caffe2fx.layers.registry import register
from caffe2fx.messages.common import Engine, Filler
from caffe2fx.messages.message import Shape, field, hint


class FlattenedLinear(nn.Linear):
    """Flattens all axes from `axis` on, as InnerProduct does, and then runs nn.Linear."""

    axis: int = 1

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.flatten(self.axis))


@register
@dataclass(frozen=True, kw_only=True)
class InnerProduct(Layer):
    """Multiply the axes from `axis` on, flattened, by weights (num_output, K)."""

    type = "InnerProduct"
    parameter = ("inner_product_param", 117)
    message = "InnerProductParameter"

    num_output: int = field(1, "uint32", absent=0)
    bias_term: bool = field(2, "bool", True)
    weight_filler: Filler | None = field(3, Filler)
    bias_filler: Filler | None = field(4, Filler)
    axis: int = field(5, "int32", 1)
    transpose: bool = field(6, "bool", False)
    engine: Engine | None = hint(Engine)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        axis = axis_of(self.axis, bottoms[0].dim())
        weight = blobs[0].t() if self.transpose else blobs[0]
        flat = bottoms[0].reshape(*bottoms[0].shape[:axis], weight.shape[1])
        return (F.linear(flat, weight, blobs[1] if self.bias_term else None),)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        needs_one("num_output", self.num_output)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return ((*bottoms[0][: axis_of(self.axis, len(bottoms[0]))], self.num_output),)

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        width = prod(bottoms[0][axis_of(self.axis, len(bottoms[0])) :])
        weight = (width, self.num_output) if self.transpose else (self.num_output, width)
        return (weight, (self.num_output,)) if self.bias_term else (weight,)

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        return prod(bottoms[0][axis_of(self.axis, len(bottoms[0])) :])

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        axis = axis_of(self.axis, len(bottoms[0]))
        if self.transpose or axis == 0:
            return super().module(bottoms, blobs, tops)
        flat = axis == len(bottoms[0]) - 1
        sizes = prod(bottoms[0][axis:]), self.num_output, self.bias_term
        made = torch_module(nn.Linear if flat else FlattenedLinear, blobs, *sizes)
        if isinstance(made, FlattenedLinear):
            made.axis = axis
        return made
