"""Records of torch's own functions that no Caffe has; they exist only in optimized nets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from caffe2fx.layers.layer import Layer
from caffe2fx.messages.message import Shape


class TorchFunction(Layer):
    """Base of these records: the top has the bottom's shape, and no file can hold the layer."""

    message = ""
    dialects = ()
    in_files = False

    def __post_init__(self) -> None:
        """Do nothing: no file spells these fields, so that nothing needs normalizing."""

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
