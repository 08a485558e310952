"""torchvision's operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import DeformConv2d, RoIAlign, RoIPool, deform_conv2d, nms

from tests.rows import Row, Shape, function

IMAGE = (2, 4, 8, 9)
BOXES = (6, 5)


def regions(numbers: Tensor) -> Tensor:
    """Boxes with a sample's number in front; some reach out of the image."""
    sample = numbers[:, :1] > 0
    corner = numbers[:, 1:3] * 2 + 2
    return torch.cat([sample.float(), corner, corner + numbers[:, 3:].abs() * 4 + 0.3], 1)


def region(id: str, layer: nn.Module, **more: Any) -> Row:
    return Row(id, function(lambda x, b: layer(x, regions(b))), (IMAGE, BOXES), **more)


def deformed(id: str, layer: Callable[[], nn.Module], *shapes: Shape, **more: Any) -> Row:
    return Row(id, layer, ((2, 4, 6, 7), *shapes), **more)


class Masked(nn.Module):
    """Modulated deformable convolution; its mask is a sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 4, 3, 3))

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        return deform_conv2d(x, offset, self.weight, padding=1, mask=mask.sigmoid())


ROWS = [
    region("roi_align", RoIAlign((3, 2), 0.5, 2, True),
           layers={"Slice": 10, "Threshold": 5, "Power": 29, "AbsVal": 1, "Eltwise": 26,
               "Concat": 5, "Reshape": 19, "Im2col": 2, "Flatten": 14, "InnerProduct": 2, "ReLU":
               4, "Convolution": 4, "Tile": 10, "BatchReindex": 4, "Scale": 4, "Pooling": 1,
               "Silence": 1}, fixed_batch=True),
    region("roi_align_not_aligned", RoIAlign(3, 1.0, 1),
           layers={"Slice": 10, "Threshold": 5, "Power": 31, "AbsVal": 1, "Eltwise": 28,
               "Concat": 5, "Reshape": 19, "Im2col": 2, "Flatten": 14, "InnerProduct": 2, "ReLU":
               4, "Convolution": 4, "Tile": 10, "BatchReindex": 4, "Scale": 4, "Silence": 1},
               fixed_batch=True),
    region("roi_align_adaptive", RoIAlign(3, 1.0, -1), refused="needs a sampling_ratio of 1"),
    region("roi_pool", RoIPool(3, 1.0), refused="needs bins whose sizes depend on the data"),
    Row("nms", function(lambda b: nms(b[:, 1:].abs(), b[:, 0], 0.5)), (BOXES,),
        refused="needs a result whose shape depends on the data"),
    deformed("deform_conv2d", lambda: DeformConv2d(4, 3, 3, padding=1), (2, 18, 6, 7),
             layers={"Reshape": 9, "Im2col": 5, "Flatten": 5, "Bias": 6, "Power": 24,
                 "Eltwise": 21, "Threshold": 2, "ReLU": 2, "Slice": 1, "BatchReindex": 4, "Scale":
                 4, "Convolution": 1, "Silence": 1}, fixed_batch=True),
    deformed("deform_conv2d_groups", lambda: DeformConv2d(4, 6, (2, 3), 2, dilation=2, groups=2),
             (2, 24, 2, 2),
             layers={"Slice": 6, "Concat": 2, "Flatten": 10, "Bias": 12, "Power": 48,
                 "Eltwise": 42, "Threshold": 4, "ReLU": 4, "Reshape": 16, "Im2col": 9,
                 "BatchReindex": 8, "Scale": 8, "Convolution": 1, "Silence": 1}, fixed_batch=True),
    deformed("deform_conv2d_masked", Masked, (2, 18, 6, 7), (2, 9, 6, 7),
             layers={"Sigmoid": 1, "Reshape": 9, "Im2col": 5, "Flatten": 6, "Bias": 6, "Power":
                 24, "Eltwise": 21, "Threshold": 2, "ReLU": 2, "Slice": 1, "BatchReindex": 4,
                 "Scale": 5, "Convolution": 1, "Silence": 1}, fixed_batch=True),
]  # fmt: skip
