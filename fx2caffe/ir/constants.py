"""Constants of the traced graph, emitted as layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from caffe2fx.messages.message import Shape
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.record import IntermediateRecord
from fx2caffe.ir.symbol import Refused, Symbol

EXACT_INTEGER = 1 << 24
LARGEST = torch.finfo(torch.float32).max


@dataclass(frozen=True, kw_only=True)
class Constant(IntermediateRecord):
    """Give the blob, which has that shape."""

    type = "Constant"
    bottoms = (0, 0)

    shape: Shape

    def blob_shapes(self, bottoms: Sequence[Shape]) -> tuple[Shape, ...]:
        return (self.shape,)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return (self.shape,)

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        return (blobs[0].clone(),)


def as_symbol(net: Emitter, value: Any, suffix: str = "") -> Symbol:
    """Return a Symbol unchanged; emit a constant as a layer.

    Raises Refused for an empty tensor and for values that float32 cannot hold.
    """
    if isinstance(value, Symbol):
        return value
    tensor = as_float32(value)
    if not tensor.numel():
        raise Refused(f"needs tensors with elements in them, got shape {tuple(tensor.shape)}")
    shape = tuple(tensor.shape)
    return net.add(Constant(shape=shape), blobs=[tensor.contiguous()], suffix=suffix)


def as_float32(value: Any) -> Tensor:
    """Convert a constant to float32. Raises Refused for values that float32 cannot hold."""
    tensor = torch.as_tensor(value).detach()
    if tensor.is_complex():
        raise Refused(f"needs real numbers, got a constant of {tensor.dtype}")
    if tensor.is_floating_point() and bool(tensor.isnan().any()):
        raise Refused("needs constants without NaN, which Caffe's layers lose, got some")
    whole = not (tensor.is_floating_point() or tensor.dtype is torch.bool) and tensor.numel() > 0
    if whole and int(tensor.abs().max()) > EXACT_INTEGER:
        raise Refused("needs integers up to 2^24, which float32 holds exactly, got larger ones")
    return tensor.to(torch.float32)
