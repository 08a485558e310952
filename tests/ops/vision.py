"""torchvision's operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import ops
from torchvision.ops import (
    DeformConv2d,
    PSRoIAlign,
    PSRoIPool,
    RoIAlign,
    RoIPool,
    deform_conv2d,
    nms,
)
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from tests.rows import Row, Shape, function

IMAGE = (2, 4, 8, 9)
BOXES = (6, 5)


def regions(values: Tensor) -> Tensor:
    """Return boxes behind a sample's index; some reach out of the image."""
    sample = values[:, :1] > 0
    corner = values[:, 1:3] * 2 + 2
    return torch.cat([sample.float(), corner, corner + values[:, 3:].abs() * 4 + 0.3], 1)


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


# A sample's index and a box; one reaches out of the image, where its last bins are empty.
FIXED = torch.tensor([
    [0, 1.0, 1.2, 6.3, 7.9], [1, 0, 0, 5, 4], [1, 2.5, 3.1, 4, 8.8], [0, 9, 9, 25, 30],
])  # fmt: skip
# 3 pixels high in float32, and a little more in float64.
EDGE = torch.tensor([[0, 0.2, 0.2, 3.2, 3.2]])


def fixed(
    id: str, layer: nn.Module, boxes: Tensor = FIXED, shape: Shape = IMAGE, **more: Any
) -> Row:
    one = torch.cat([boxes[:, :1].clamp(max=shape[0] - 1), boxes[:, 1:]], 1)
    return Row(id, function(lambda x: layer(x, one)), (shape,), **more)


CORNERS = ((5, 4), (6, 4))


def boxes(values: Tensor) -> Tensor:
    return torch.cat([values[:, :2], values[:, :2] + values[:, 2:].abs() + 0.3], 1)


def _boxes_of_masks(x: Tensor) -> Tensor:
    """Return the boxes of masks of which some are empty."""
    return ops.masks_to_boxes(x * (x[:, :1, :1] > 0) > 1.4)


class Pyramid(nn.Module):
    """Returns two maps, each made of it and the coarser one, and those of an extra block."""

    def __init__(self, extra: nn.Module | None = None) -> None:
        super().__init__()
        self.pyramid = ops.FeaturePyramidNetwork([4, 6], 5, extra)

    def forward(self, fine: Tensor, coarse: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.pyramid({"fine": fine, "coarse": coarse})
        return found


class Levels(nn.Module):
    """Regions of two maps, each of that which suits its size."""

    def __init__(self, boxes: Tensor | None, names: tuple[str, ...] = ("fine", "coarse")) -> None:
        super().__init__()
        self.align = ops.MultiScaleRoIAlign(list(names), 3, 2, canonical_scale=24)
        self.boxes = boxes

    def forward(self, fine: Tensor, coarse: Tensor, values: Tensor) -> Tensor:
        own = boxes(values) * 10 if self.boxes is None else self.boxes
        found: Tensor = self.align({"fine": fine, "coarse": coarse}, [own], [(64, 64)])
        return found + values.mean()


MAPS = ((1, 4, 16, 16), (1, 4, 8, 8), (5, 4))
PYRAMID = ((1, 4, 8, 8), (1, 6, 4, 4))
SMALL_AND_LARGE = torch.tensor([[3.0, 3, 10, 12], [5, 2, 55, 60], [20, 20, 26, 25]])
MODULES = [
    Row("squeeze_excitation", lambda: ops.SqueezeExcitation(6, 4), ((3, 6, 5, 5),),
        layers=("Pooling", "Convolution", "ReLU", "Convolution", "Sigmoid", "Flatten", "Scale")),
    Row("drop_block", lambda: ops.DropBlock2d(0.5, 3), layers=("Power",)),
    Row("drop_block_3d", lambda: ops.DropBlock3d(0.5, 3), ((2, 3, 4, 4, 4),), layers=("Power",)),
    Row("frozen_batch_norm", lambda: ops.FrozenBatchNorm2d(3), layers=("Scale",)),
    Row("permute_module", lambda: ops.Permute([0, 2, 3, 1]),
        layers=("Reshape", "Im2col", "Reshape")),
    Row("mlp", lambda: ops.MLP(8, [5, 3], norm_layer=nn.LayerNorm),
        layers=("InnerProduct", "Reduction", "Bias", "Reduction", "Power", "Scale", "Scale",
            "ReLU", "InnerProduct")),
    Row("conv3d_norm_activation", lambda: ops.Conv3dNormActivation(3, 4), ((2, 3, 4, 5, 6),),
        layers=("Convolution", "ReLU")),
    Row("feature_pyramid", Pyramid, PYRAMID,
        layers=("Convolution", "Convolution", "Convolution", "Deconvolution", "Eltwise",
            "Convolution")),
    Row("feature_pyramid_pool", lambda: Pyramid(LastLevelMaxPool()), PYRAMID,
        layers=("Convolution", "Convolution", "Convolution", "Deconvolution", "Eltwise",
            "Convolution", "Pooling", "DummyData", "Crop", "Power")),
    Row("feature_pyramid_p6_p7", lambda: Pyramid(LastLevelP6P7(5, 5)), PYRAMID,
        layers=("Convolution", "Convolution", "Convolution", "Deconvolution", "Eltwise",
            "Convolution", "Convolution", "ReLU", "Convolution", "Power", "Power")),
    Row("multi_scale_roi_align", lambda: Levels(None), MAPS,
        refused="nonzero gives a shape that depends on the data"),
    Row("multi_scale_roi_align_one", lambda: Levels(None, ("fine",)), MAPS,
        layers={"Slice": 8, "AbsVal": 1, "Eltwise": 24, "Power": 28, "Concat": 6, "DummyData": 1,
            "Reshape": 18, "Im2col": 2, "Flatten": 13, "InnerProduct": 2, "ReLU": 4,
            "Threshold": 4, "Convolution": 4, "Tile": 8, "BatchReindex": 4, "Scale": 4,
            "Pooling": 1, "Reduction": 1, "Bias": 1, "Silence": 1}, fixed_batch=True),
    Row("multi_scale_roi_align_constant", lambda: Levels(SMALL_AND_LARGE), MAPS,
        layers=("Reshape", "Flatten", "InnerProduct", "Reshape", "Im2col", "Reshape",
            "DummyData", "Scale", "Reshape", "Convolution", "Reshape", "Eltwise", "Reshape",
            "Flatten", "InnerProduct", "Reshape", "Reshape", "Slice", "Slice", "Concat",
            "Reduction", "Bias", "Silence"), fixed_batch=True),
]  # fmt: skip
ROWS = [
    *MODULES,
    region("roi_align", RoIAlign((3, 2), 0.5, 2, True),
           layers={"Slice": 4, "Threshold": 5, "Power": 29, "AbsVal": 1, "Eltwise": 26,
            "Concat": 5, "Reshape": 19, "Im2col": 2, "Flatten": 14, "InnerProduct": 2, "ReLU": 4,
            "Convolution": 4, "Tile": 10, "BatchReindex": 4, "Scale": 4, "Pooling": 1},
        fixed_batch=True),
    region("roi_align_not_aligned", RoIAlign(3, 1.0, 1),
           layers={"Slice": 4, "Threshold": 5, "Power": 31, "AbsVal": 1, "Eltwise": 28,
            "Concat": 5, "Reshape": 19, "Im2col": 2, "Flatten": 14, "InnerProduct": 2, "ReLU": 4,
            "Convolution": 4, "Tile": 10, "BatchReindex": 4, "Scale": 4},
               fixed_batch=True),
    region("roi_align_adaptive", RoIAlign(3, 1.0, -1), refused="needs a sampling_ratio of 1"),
    region("roi_pool_traced", RoIPool(3, 1.0), refused="needs constant boxes"),
    region("ps_roi_pool_traced", PSRoIPool(2, 1.0), refused="ps_roi_align with a sampling_ratio"),
    region("ps_roi_align", PSRoIAlign(2, 0.5, 2),
           layers={"Slice": 4, "Threshold": 5, "Power": 29, "AbsVal": 1, "Eltwise": 26,
            "Concat": 5, "Reshape": 23, "Im2col": 2, "Flatten": 15, "InnerProduct": 2, "ReLU": 4,
            "Convolution": 5, "Tile": 10, "BatchReindex": 4, "Scale": 4, "Pooling": 1},
        fixed_batch=True),
    fixed("roi_align_of_constant_boxes", RoIAlign((3, 2), 0.7, -1),
          layers=("Reshape", "Im2col", "Reshape", "Flatten", "InnerProduct", "Reshape",
              "Im2col", "Reshape"), fixed_batch=True),
    fixed("roi_align_of_one_sample", RoIAlign((3, 2), 0.7, 2, True), shape=(1, *IMAGE[1:]),
          layers=("Reshape", "Flatten", "InnerProduct", "Reshape", "Im2col", "Reshape"),
              fixed_batch=True),
    fixed("roi_pool", RoIPool((3, 2), 0.7),
          layers=("Reshape", "Im2col", "Reshape", "Flatten", "InnerProduct", "Reshape",
              "ArgMax", "Flatten", "Scale", "Reshape", "Im2col", "Reshape"), fixed_batch=True),
    fixed("roi_pool_of_one_sample", RoIPool(3, 1.0), shape=(1, *IMAGE[1:]),
          layers=("Reshape", "Flatten", "InnerProduct", "Reshape", "ArgMax", "Flatten", "Scale",
              "Reshape", "Im2col", "Reshape"), fixed_batch=True),
    fixed("ps_roi_pool", PSRoIPool(2, 0.7),
          layers=("Reshape", "Im2col", "Reshape", "Flatten", "InnerProduct", "Reshape",
              "Im2col", "Reshape", "Reshape", "Flatten", "Reshape", "Convolution", "Reshape",
              "Reshape"), fixed_batch=True),
    fixed("ps_roi_align_of_constant_boxes", PSRoIAlign(2, 0.7, -1),
          layers=("Reshape", "Im2col", "Reshape", "Flatten", "InnerProduct", "Reshape",
              "Im2col", "Reshape", "Reshape", "Flatten", "Reshape", "Convolution", "Reshape",
              "Reshape"), fixed_batch=True),
    fixed("roi_align_on_an_edge", RoIAlign(1, 1.0, -1), boxes=EDGE,
          refused="needs boxes whose bins are exact in float32"),
    Row("roi_pool_places", function(lambda x: torch.ops.torchvision.roi_pool(x, FIXED, 1.0, 2, 2)),
        (IMAGE,), refused="needs the regions alone to be read"),
    Row("roi_pool_of_large_image", function(lambda x: RoIAlign(64, 1.0, -1)(x, FIXED[::3])),
        ((1, 1, 64, 64),), refused="needs a matrix of at most"),
    Row("nms", function(lambda b: nms(b[:, 1:].abs(), b[:, 0], 0.5)), (BOXES,),
        refused="needs as many boxes as the data leave over"),
    Row("box_iou", function(lambda a, b: ops.box_iou(boxes(a), boxes(b))), CORNERS,
        layers={"Slice": 17, "AbsVal": 2, "Eltwise": 14, "Power": 8, "Concat": 2, "Flatten": 11,
            "Reshape": 4, "Tile": 3, "Bias": 3, "ReLU": 1, "Silence": 1}, since="2.13"),
    Row("box_iou_of_constant", function(lambda a: ops.box_iou(boxes(a), FIXED[:, 1:])),
        CORNERS[:1],
        layers={"Slice": 9, "AbsVal": 1, "Eltwise": 10, "Power": 7, "Concat": 1, "Flatten": 9,
            "Reshape": 3, "Parameter": 3, "Tile": 3, "Bias": 3, "ReLU": 1, "Silence": 1},
        since="2.13"),
    Row("generalized_box_iou",
        function(lambda a, b: ops.generalized_box_iou(boxes(a), boxes(b))), CORNERS,
        layers={"Slice": 22, "AbsVal": 2, "Eltwise": 21, "Power": 14, "Concat": 2, "Flatten": 14,
            "Reshape": 7, "Tile": 5, "Bias": 5, "ReLU": 2, "Silence": 1}, since="2.13"),
    Row("distance_box_iou",
        function(lambda a, b: ops.distance_box_iou(boxes(a), boxes(b))), CORNERS,
        layers={"Slice": 24, "AbsVal": 2, "Eltwise": 25, "Power": 25, "Concat": 2, "Flatten": 22,
            "Reshape": 9, "Tile": 7, "Bias": 7, "ReLU": 2, "Silence": 1}, since="2.13"),
    Row("complete_box_iou",
        function(lambda a, b: ops.complete_box_iou(boxes(a), boxes(b))), CORNERS,
        layers={"Slice": 32, "AbsVal": 4, "Eltwise": 61, "Power": 59, "Concat": 2, "Flatten": 23,
            "Reshape": 13, "Tile": 8, "Bias": 8, "ReLU": 2, "Threshold": 6, "Silence": 1},
        since="2.13"),
    Row("box_area", function(lambda a: ops.box_area(boxes(a))), CORNERS[:1],
        layers=("Slice", "Slice", "AbsVal", "Eltwise", "Power", "Concat", "Slice", "Flatten",
            "Flatten", "Eltwise", "Flatten", "Flatten", "Eltwise", "Eltwise", "Silence")),
    Row("box_convert_xyxy_xywh", function(lambda x: ops.box_convert(x, "xyxy", "xywh")),
        ((5, 4),),
        layers=("Slice", "Flatten", "Flatten", "Flatten", "Flatten", "Eltwise", "Eltwise",
            "Reshape", "Reshape", "Reshape", "Reshape", "Concat")),
    Row("box_convert_xyxy_cxcywh", function(lambda x: ops.box_convert(x, "xyxy", "cxcywh")),
        ((5, 4),),
        layers=("Slice", "Flatten", "Flatten", "Flatten", "Flatten", "Eltwise", "Power",
            "Eltwise", "Power", "Eltwise", "Eltwise", "Reshape", "Reshape", "Reshape",
            "Reshape", "Concat")),
    Row("box_convert_xywh_xyxy", function(lambda x: ops.box_convert(x, "xywh", "xyxy")),
        ((5, 4),),
        layers=("Slice", "Flatten", "Flatten", "Flatten", "Flatten", "Eltwise", "Eltwise",
            "Reshape", "Reshape", "Reshape", "Reshape", "Concat")),
    Row("box_convert_xywh_cxcywh", function(lambda x: ops.box_convert(x, "xywh", "cxcywh")),
        ((5, 4),),
        layers={"Slice": 2, "Flatten": 8, "Eltwise": 6, "Reshape": 8, "Concat": 2, "Power": 2}),
    Row("box_convert_cxcywh_xyxy", function(lambda x: ops.box_convert(x, "cxcywh", "xyxy")),
        ((5, 4),),
        layers=("Slice", "Flatten", "Flatten", "Flatten", "Flatten", "Power", "Eltwise",
            "Power", "Eltwise", "Power", "Eltwise", "Power", "Eltwise", "Reshape", "Reshape",
            "Reshape", "Reshape", "Concat")),
    Row("box_convert_cxcywh_xywh", function(lambda x: ops.box_convert(x, "cxcywh", "xywh")),
        ((5, 4),),
        layers={"Slice": 2, "Flatten": 8, "Power": 4, "Eltwise": 6, "Reshape": 8, "Concat": 2}),
    Row("box_convert_cxcywhr_xywhr",
        function(lambda x: ops.box_convert(x, "cxcywhr", "xywhr")), ((5, 5),),
        layers={"Slice": 1, "Flatten": 5, "Power": 23, "Eltwise": 19, "AbsVal": 1, "ReLU": 2,
            "Reshape": 5, "Concat": 1}, since="2.13"),
    Row("box_convert_xywhr_cxcywhr",
        function(lambda x: ops.box_convert(x, "xywhr", "cxcywhr")), ((5, 5),),
        layers={"Slice": 1, "Flatten": 5, "Power": 23, "Eltwise": 19, "AbsVal": 1, "ReLU": 2,
            "Reshape": 5, "Concat": 1}, since="2.13"),
    Row("box_convert_cxcywhr_xyxyxyxy",
        function(lambda x: ops.box_convert(x, "cxcywhr", "xyxyxyxy")), ((5, 5),),
        layers={"Slice": 2, "Flatten": 10, "Power": 42, "Eltwise": 42, "AbsVal": 2, "ReLU": 4,
            "Reshape": 13, "Concat": 2}, since="2.13"),
    Row("box_convert_xyxyxyxy_cxcywhr",
        function(lambda x: ops.box_convert(x, "xyxyxyxy", "cxcywhr")), ((5, 8),),
        layers={"Slice": 2, "Flatten": 11, "Eltwise": 45, "AbsVal": 3, "Power": 50, "Threshold":
            3, "Reshape": 10, "Concat": 2, "ReLU": 2, "Silence": 1}, since="2.13"),
    Row("clip_boxes_to_image", function(lambda a: ops.clip_boxes_to_image(boxes(a), (4, 3))),
        CORNERS[:1],
        layers={"Slice": 3, "AbsVal": 1, "Eltwise": 3, "Power": 7, "Concat": 2, "Reshape": 4,
            "Im2col": 2, "Flatten": 3, "ReLU": 2, "Silence": 1}),
    Row("remove_small_boxes", function(lambda a: ops.remove_small_boxes(boxes(a), 1.0)),
        CORNERS[:1], refused="nonzero gives a shape that depends on the data"),
    Row("masks_to_boxes", function(_boxes_of_masks), ((7, 9, 9),),
        layers={"DummyData": 1, "Crop": 1, "Threshold": 2, "Flatten": 8, "Scale": 2, "ArgMax":
            7, "Power": 7, "Slice": 2, "Concat": 3, "Reshape": 4, "Eltwise": 1}, since="2.13"),
    deformed("deform_conv2d", lambda: DeformConv2d(4, 3, 3, padding=1), (2, 18, 6, 7),
             layers={"Reshape": 9, "Im2col": 5, "Flatten": 5, "Bias": 6, "Power": 24,
                 "Eltwise": 21, "Threshold": 2, "ReLU": 2, "Slice": 1, "BatchReindex": 4, "Scale":
                 4, "Convolution": 1, "Silence": 1}, fixed_batch=True),
    deformed("deform_conv2d_groups", lambda: DeformConv2d(4, 6, (2, 3), 2, dilation=2, groups=2),
             (2, 24, 2, 2),
             layers={"Slice": 5, "Concat": 2, "Flatten": 10, "Bias": 12, "Power": 48,
            "Eltwise": 42, "Threshold": 4, "ReLU": 4, "Reshape": 16, "Im2col": 9,
            "BatchReindex": 8, "Scale": 8, "Convolution": 1, "Silence": 1}, fixed_batch=True),
    deformed("deform_conv2d_masked", Masked, (2, 18, 6, 7), (2, 9, 6, 7),
             layers={"Sigmoid": 1, "Reshape": 9, "Im2col": 5, "Flatten": 6, "Bias": 6, "Power":
                 24, "Eltwise": 21, "Threshold": 2, "ReLU": 2, "Slice": 1, "BatchReindex": 4,
                 "Scale": 5, "Convolution": 1, "Silence": 1}, fixed_batch=True),
]  # fmt: skip
