"""torchvision's single-shot detectors from image to detections, as Caffe's SSD branch runs them.

    net = fx2caffe.export(SingleShot(ssd300_vgg16(), (300, 300)), images, target="ssd")

The model's own transform (resizing and normalizing) stays outside: `images` are its result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from caffe2fx.layers.detection import CodeType, DetectionOutput, NonMaximumSuppression
from caffe2fx.layers.layer import RecordModule

if TYPE_CHECKING:  # whoever has such a model has imported torchvision
    from torchvision.models.detection.ssd import SSD


class SingleShot(nn.Module):
    """Wraps a torchvision SSD (or SSDlite) with decoding and suppression behind its heads.

    forward takes normalized images (N, 3, height, width) and returns Caffe's rows
    (1, 1, found, 7): image, label, score, and the corners relative to the image's sides;
    `detections` converts them to torchvision's boxes. torchvision clips boxes to the image before
    it suppresses neighbours, and Caffe's DetectionOutput does not: so the boxes are decoded and
    clipped by layers of their own, and DetectionOutput is given corners.
    """

    sides: Tensor
    centres: Tensor

    def __init__(self, model: SSD, size: tuple[int, int]) -> None:
        super().__init__()
        self.backbone, self.head = model.backbone, model.head
        self.size = size
        boxes = _default_boxes(model, size) / torch.tensor([size[1], size[0]]).repeat(2)
        self.register_buffer("sides", boxes[:, 2:] - boxes[:, :2])
        self.register_buffer("centres", (boxes[:, 2:] + boxes[:, :2]) / 2)
        self.factors = [1 / weight for weight in model.box_coder.weights]
        self.limit = float(model.box_coder.bbox_xform_clip)
        layer = DetectionOutput(
            num_classes=model.head.classification_head.num_columns,
            code_type=CodeType.CORNER,
            keep_top_k=model.detections_per_img,
            confidence_threshold=model.score_thresh,
            nms_param=NonMaximumSuppression(
                nms_threshold=model.nms_thresh, top_k=model.topk_candidates
            ),
        )
        self.detection = RecordModule(layer, (), 1)

    def forward(self, images: Tensor) -> Tensor:
        found = self.head(list(self.backbone(images).values()))
        boxes = self.decoded(found["bbox_regression"]).flatten(1)
        scores = found["cls_logits"].softmax(-1).flatten(1)
        # Decoded boxes are passed as offsets from a prior box of zeros, with a variance of one.
        nothing = boxes[:1] * 0
        detected: Tensor = self.detection(boxes, scores, torch.stack([nothing, nothing + 1], 1))
        return detected

    def decoded(self, codes: Tensor) -> Tensor:
        """Return corners (N, boxes, 4) relative to the image's sides, clipped to the image."""
        across, down, wide, high = self.factors
        shift = codes[..., :2] * torch.tensor([across, down])
        growth = (codes[..., 2:] * torch.tensor([wide, high])).clamp(max=self.limit)
        centre = shift * self.sides + self.centres
        half = growth.exp() * (self.sides / 2)
        return torch.cat([centre - half, centre + half], -1).clamp(0, 1)

    def detections(self, rows: Tensor, images: int) -> list[dict[str, Tensor]]:
        """Return torchvision's boxes (in pixels), labels and scores of each image, best first."""
        flat = rows.reshape(-1, 7)
        flat = flat[flat[:, 1] >= 0]
        flat = flat[flat[:, 2].argsort(descending=True, stable=True)]
        scale = flat.new_tensor([self.size[1], self.size[0]]).repeat(2)
        own = [flat[flat[:, 0] == image] for image in range(images)]
        return [
            {"boxes": r[:, 3:] * scale, "labels": r[:, 1].long(), "scores": r[:, 2]} for r in own
        ]


def _default_boxes(model: SSD, size: tuple[int, int]) -> Tensor:
    """Return the corners of the default boxes in pixels, (boxes, 4)."""
    from torchvision.models.detection.image_list import ImageList

    images = torch.zeros(1, 3, *size)
    with torch.no_grad():
        maps = list(model.backbone(images).values())
        boxes: Sequence[Tensor] = model.anchor_generator(ImageList(images, [size]), maps)
    return boxes[0]
