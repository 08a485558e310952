"""Records of torch's own functions that no Caffe has; they exist only in optimized nets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import prod
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from caffe2fx.layers.layer import Layer, torch_module
from caffe2fx.messages.message import Shape


class TorchFunction(Layer):
    """Base of these records: the top has the bottom's shape, and no file can hold the layer."""

    message = ""
    dialects = ()
    in_files = False

    def __post_init__(self) -> None:
        """Do nothing: no file states these fields, so that nothing needs normalizing."""

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return (tuple(bottoms[0]),)

    def __str__(self) -> str:
        values: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in values.items())})"


@dataclass(frozen=True, kw_only=True)
class TorchHardsigmoid(TorchFunction):
    """Compute min(max(x + 3, 0), 6) / 6."""

    type = "TorchHardsigmoid"

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (F.hardsigmoid(bottoms[0]),)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return nn.Hardsigmoid()


@dataclass(frozen=True, kw_only=True)
class TorchGELU(TorchFunction):
    """Compute x times the normal distribution function of x, or its approximation by tanh."""

    type = "TorchGELU"

    approximate: str = "none"

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (F.gelu(bottoms[0], approximate=self.approximate),)

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return nn.GELU(self.approximate)


@dataclass(frozen=True, kw_only=True)
class TorchLayerNorm(TorchFunction):
    """Normalize the axes from `axis` on together, with the weight and bias of its two blobs."""

    type = "TorchLayerNorm"

    axis: int
    eps: float

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        sizes = bottoms[0].shape[self.axis :]
        return (F.layer_norm(bottoms[0], sizes, blobs[0], blobs[1], self.eps),)

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        return (tuple(bottoms[0][self.axis :]),) * 2

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        return prod(bottoms[0][self.axis :])

    def module(self, bottoms: Sequence[Shape], blobs: Sequence[Tensor], tops: int) -> nn.Module:
        return torch_module(nn.LayerNorm, blobs, bottoms[0][self.axis :], self.eps)


@dataclass(frozen=True, kw_only=True)
class TorchMatmul(TorchFunction):
    """Sum a[n, k, i] * b[n, k, 0, j] over the channels k of each group: (N, group, I, J)."""

    type = "TorchMatmul"
    bottoms = (2, 2)

    group: int

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        (count, _, rows), columns = bottoms[0], bottoms[1][3]
        return ((count, self.group, rows, columns),)

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        return bottoms[0][1] // self.group

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        count = bottoms[0].shape[0]
        a = bottoms[0].reshape(count, self.group, -1, bottoms[0].shape[2])
        b = bottoms[1].reshape(count, self.group, -1, bottoms[1].shape[3])
        return (a.transpose(2, 3) @ b,)
