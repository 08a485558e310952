"""The networks inside torchvision's detection models, without resizing and postprocessing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn


class Heads(nn.Module):
    """Runs backbone and head of SSD, RetinaNet and FCOS: from images to the head's results."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.backbone, self.head = model.backbone, model.head

    def forward(self, images: Tensor) -> Mapping[str, Tensor]:
        features = self.backbone(images)
        levels = [features] if isinstance(features, Tensor) else list(features.values())
        results: Mapping[str, Tensor] = self.head(levels)
        return results


class Proposals(nn.Module):
    """Runs an R-CNN's backbone, pyramid and proposal head: objectness and deltas by level."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.backbone, self.head = model.backbone, model.rpn.head

    def forward(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        results: tuple[list[Tensor], list[Tensor]] = self.head(list(self.backbone(images).values()))
        return results


class RegionHeads(nn.Module):
    """Applies an R-CNN's heads to each region, on features that RoIAlign has cut out.

    `boxes` is N x 256 x 7 x 7; `regions`, for the masks or keypoints, N x 256 x 14 x 14.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        heads = model.roi_heads
        self.box_head, self.box_predictor = heads.box_head, heads.box_predictor
        kind = "mask" if heads.has_mask() else "keypoint"
        self.region_head = getattr(heads, f"{kind}_head")
        self.region_predictor = getattr(heads, f"{kind}_predictor")

    def forward(self, boxes: Tensor, regions: Tensor | None = None) -> tuple[Tensor, ...]:
        scores, deltas = self.box_predictor(self.box_head(boxes))
        if regions is None:
            return scores, deltas
        return scores, deltas, self.region_predictor(self.region_head(regions))


Adapter = Callable[[Any], nn.Module]
PARTS: Mapping[str, Mapping[str, Adapter]] = {
    "ssd*": {"": Heads},
    "retinanet*": {"": Heads},
    "fcos*": {"": Heads},
    "*rcnn*": {"": Proposals, "roi_heads": RegionHeads},
}
