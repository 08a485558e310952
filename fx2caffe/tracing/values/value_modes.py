"""The two kinds of values that a model is traced on: real tensors, or meta tensors without data."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Values(Protocol):
    """Decides how traced values are held while the model's forward runs."""

    readable: bool

    def enter(self, tensor: Tensor) -> Tensor:
        """Return the tensor that the model gets in place of an example input."""

    def operand(self, tensor: Tensor, traced: bool) -> Tensor:
        """Return the tensor that a recorded call gets in place of one of its tensors."""

    def example(self, tensor: Tensor) -> Tensor:
        """Return a real tensor of the same shape, dtype and device, for calls that need no data."""

    def held(self, tensor: Tensor) -> Tensor:
        """Return the form in which a result that was computed on real tensors is kept."""

    def device(self, tensor: Tensor) -> torch.device:
        """Return the device that the model sees the tensor on."""


class RealValues:
    """Keeps traced values as real tensors: the model runs as it always does."""

    readable = True

    def enter(self, tensor: Tensor) -> Tensor:
        return tensor.detach().clone()

    def operand(self, tensor: Tensor, traced: bool) -> Tensor:
        return tensor

    def example(self, tensor: Tensor) -> Tensor:
        return tensor

    def held(self, tensor: Tensor) -> Tensor:
        return tensor

    def device(self, tensor: Tensor) -> torch.device:
        return tensor.device


class FakeValues:
    """Keeps traced values as tensors without memory; constants stay real.

    They are plain tensors on torch's meta device, not a subclass, so that
    `type(x) is Tensor` holds; the device that the model sees is the real one.
    """

    readable = False

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._buffers: dict[int, Tensor] = {}

    def enter(self, tensor: Tensor) -> Tensor:
        return torch.empty_like(tensor, device="meta")

    def operand(self, tensor: Tensor, traced: bool) -> Tensor:
        if tensor.is_meta:
            return tensor
        buffer = self._buffers.get(tensor.untyped_storage()._cdata) if traced else None
        if buffer is None:
            empty = torch.empty_strided(
                tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta"
            )
            return empty
        return buffer.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())

    def shadow(self, whole: Tensor) -> Tensor:
        """Give a real memory that becomes traced a twin without memory, for its views."""
        twin = torch.empty_like(whole, device="meta")
        self._buffers[whole.untyped_storage()._cdata] = twin
        return twin

    def example(self, tensor: Tensor) -> Tensor:
        if not tensor.is_meta:
            return tensor
        return torch.zeros(tensor.shape, dtype=tensor.dtype, device=self._device)

    def held(self, tensor: Tensor) -> Tensor:
        return self.enter(tensor)

    def device(self, tensor: Tensor) -> torch.device:
        return self._device if tensor.is_meta else tensor.device
