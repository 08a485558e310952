"""Convolution as a product of unfolded images: Caffe's own method, which rounds unlike oneDNN."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class ByUnfolding(TorchFunctionMode):
    """Convolves by unfolding in this thread, whatever the process has chosen for all others."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        return convolution(*args, **kwargs) if func in _AXES else func(*args, **kwargs)


_AXES = {torch.conv1d: 1, torch.conv2d: 2, torch.conv3d: 3}
Sizes = int | Sequence[int]


def convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """Return the result of torch.conv1d, conv2d and conv3d, with their arguments."""
    images = input if input.dim() == weight.dim() else input.unsqueeze(0)
    kernel = weight.shape[2:]
    spread = [_each(dilation, axis) * (size - 1) + 1 for axis, size in enumerate(kernel)]
    images = F.pad(images, _pads(padding, spread))
    steps = [_each(stride, axis) for axis in range(len(kernel))]
    gaps = [_each(dilation, axis) for axis in range(len(kernel))]
    # One sample after the other: the unfolded batch would take much memory.
    rows = [_sample(image, weight, spread, steps, gaps, groups) for image in images]
    result = torch.stack(rows)
    if bias is not None:
        result = result + bias.reshape(-1, *(1,) * len(kernel))
    return result if input.dim() == weight.dim() else result[0]


def _sample(
    image: Tensor,
    weight: Tensor,
    spread: Sequence[int],
    steps: Sequence[int],
    gaps: Sequence[int],
    groups: int,
) -> Tensor:
    """Return one image (channels, sides) convolved with the kernels of every group."""
    axes = len(spread)
    for axis, (size, step) in enumerate(zip(spread, steps, strict=True)):
        image = image.unfold(1 + axis, size, step)
    taps: tuple[Any, ...] = (Ellipsis, *(slice(None, None, gap) for gap in gaps))
    image = image[taps]
    sides = image.shape[1 : 1 + axes]
    kernel_first = (0, *range(1 + axes, 1 + 2 * axes), *range(1, 1 + axes))
    columns = image.permute(kernel_first).reshape(groups, -1, prod(sides))
    rows = weight.reshape(groups, len(weight) // groups, -1)
    return (rows @ columns).reshape(len(weight), *sides)


def _each(sizes: Sizes, axis: int) -> int:
    if isinstance(sizes, int):
        return sizes
    return int(sizes[axis if len(sizes) > 1 else 0])


def _pads(padding: Sizes | str, spread: Sequence[int]) -> list[int]:
    """Return the pads for F.pad: both sides of each axis, the last one first."""
    if padding == "same":
        pairs = [((size - 1) // 2, size // 2) for size in spread]
    else:
        both = [0 if isinstance(padding, str) else _each(padding, i) for i in range(len(spread))]
        pairs = [(pad, pad) for pad in both]
    return [pad for pair in reversed(pairs) for pad in pair]
