"""PWC-Net's warping of a map by a flow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.forks.shape import needs_rank
from caffe2fx.layers.layer import Evidence, Layer
from caffe2fx.layers.registry import register
from caffe2fx.messages.message import Shape


@register
@dataclass(frozen=True, kw_only=True)
class Warp(Layer):
    """Take each pixel from where the flow points, bilinearly; 0 from outside the map.

    The bottoms are the map (N, C, H, W) and the flow (N, 2, H, W) in pixels, x first.
    """

    type = "Warp"
    message = ""
    dialects = ("pwcnet",)
    evidence = Evidence.SOURCE
    bottoms = (2, 2)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        needs_rank(bottoms[0], 4)
        n, _, h, w = bottoms[0]
        if tuple(bottoms[1]) != (n, 2, h, w):
            raise ShapeMismatchError(f"needs a flow {(n, 2, h, w)}, got {tuple(bottoms[1])}")

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return (tuple(bottoms[0]),)

    def accumulation_length(self, bottoms: Sequence[Shape]) -> int:
        return 4

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        image, flow = bottoms
        height, width = image.shape[2:]
        x = torch.arange(width, device=flow.device).to(flow) + flow[:, :1]
        y = torch.arange(height, device=flow.device).to(flow)[:, None] + flow[:, 1:]
        inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
        x, y = (torch.where(inside, at, torch.zeros_like(at)) for at in (x, y))
        right, down = x - x.floor(), y - y.floor()
        corners = (
            ((1 - right) * (1 - down), x.floor(), y.floor()),
            (right * (1 - down), x.ceil(), y.floor()),
            ((1 - right) * down, x.floor(), y.ceil()),
            (right * down, x.ceil(), y.ceil()),
        )
        top = sum(share * _pixels(image, column, row) for share, column, row in corners)
        return (torch.where(inside, top, torch.zeros_like(image)),)


def _pixels(image: Tensor, column: Tensor, row: Tensor) -> Tensor:
    """Return the pixels of every channel at columns and rows (N, 1, H, W)."""
    index = (row * image.shape[3] + column).long().flatten(2).expand(-1, image.shape[1], -1)
    return image.flatten(2).gather(2, index).reshape(image.shape)
