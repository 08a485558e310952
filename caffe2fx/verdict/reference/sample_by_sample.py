"""Convolutions in float64 one sample at a time, to save memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class SampleBySample(TorchFunctionMode):
    """Convolves one sample after the other where torch does not do it by oneDNN.

    It would unfold the whole batch at once, which took most of the memory of a verdict.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in _CONVOLUTIONS or len(args) < 2 or not _unfolds(*args[:2]):
            return func(*args, **kwargs)
        return torch.cat([func(sample, *args[1:], **kwargs) for sample in args[0].split(1)])


_CONVOLUTIONS = frozenset({torch.conv1d, torch.conv2d, torch.conv3d})


def _unfolds(images: Tensor, weight: Tensor) -> bool:
    """Return whether torch unfolds a batch of images; one image may come without a batch axis."""
    by_onednn = images.dtype is torch.float32 and torch.backends.mkldnn.enabled
    return not by_onednn and images.dim() == weight.dim() and len(images) > 1
