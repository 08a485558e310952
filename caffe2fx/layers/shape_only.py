"""Layers of forks that have shapes alone: nets with them load, and run up to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import prod

from torch import Tensor

from caffe2fx.errors import CaffeError, ShapeMismatchError
from caffe2fx.layers.detection import CodeType, NonMaximumSuppression
from caffe2fx.layers.forks.shape import SSD, needs_rank
from caffe2fx.layers.layer import MANY, Evidence, Layer
from caffe2fx.layers.loss import Loss, LossParameter
from caffe2fx.layers.registry import register
from caffe2fx.messages.message import Shape, field, repeated, sibling_message

SHAPES_ONLY = "is known by its shapes only: load the net with outputs= naming blobs before it"


class ShapeOnly(Layer):
    """Base of these layers: a net that has one loads, and raises when it is run."""

    has_meaning = False

    def compute(
        self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
    ) -> tuple[Tensor, ...]:
        raise CaffeError(f"layer type {self.type!r} {SHAPES_ONLY}")


class _Found(ShapeOnly):
    """Base of the layers whose top lists boxes: (1, 1, 1, 7) before their count is known."""

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return ((1, 1, 1, 7),)


@register
@dataclass(frozen=True, kw_only=True)
class YoloDetectionOutput(_Found):
    """Find boxes in YOLOv2 maps; a pair of `biases` is one anchor."""

    type = "YoloDetectionOutput"
    parameter = ("yolo_detection_output_param", 601)
    message = "YoloDetectionOutputParameter"
    dialects = ("yolo",)
    evidence = Evidence.SOURCE
    bottoms = (1, MANY)

    side: int = field(1, "uint32", 13)
    num_classes: int = field(2, "uint32", 20)
    num_box: int = field(3, "uint32", 5)
    coords: int = field(4, "uint32", 4)
    confidence_threshold: float = field(5, "float", 0.01)
    nms_threshold: float = field(6, "float", 0.45)
    biases: tuple[float, ...] = repeated(7, "float")
    label_map_file: str = field(8, "string", absent="")

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        _check_channels(bottoms, len(self.biases) // 2 * (self.num_classes + self.coords + 1))


@register
@dataclass(frozen=True, kw_only=True)
class Yolov3DetectionOutput(_Found):
    """Find boxes in several YOLOv3 maps; `mask` lists the anchors of each in turn."""

    type = "Yolov3DetectionOutput"
    parameter = ("yolov3_detection_output_param", 602)
    message = "Yolov3DetectionOutputParameter"
    dialects = ("yolo",)
    evidence = Evidence.SOURCE
    bottoms = (1, MANY)

    num_classes: int = field(1, "uint32", 20)
    num_box: int = field(2, "uint32", 3)
    confidence_threshold: float = field(3, "float", 0.01)
    nms_threshold: float = field(4, "float", 0.45)
    biases: tuple[float, ...] = repeated(5, "float")
    anchors_scale: Shape = repeated(6, "uint32")
    mask_group_num: int = field(7, "uint32", 2)
    mask: Shape = repeated(8, "uint32")
    gaussian_box: bool = field(9, "bool", False)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        if not len(bottoms) == self.mask_group_num == len(self.anchors_scale):
            raise ShapeMismatchError(
                f"needs mask_group_num and anchors_scale for {len(bottoms)} bottoms, "
                f"got {self.mask_group_num} and {self.anchors_scale}"
            )
        _check_channels(bottoms, len(self.mask) // len(bottoms) * (self.num_classes + 5))


def _check_channels(bottoms: Sequence[Shape], wanted: int) -> None:
    for bottom in bottoms:
        needs_rank(bottom, 4)
        if bottom[1] != wanted:
            raise ShapeMismatchError(f"needs {wanted} channels, got {bottom[1]}")


@register
@dataclass(frozen=True, kw_only=True)
class DetectionEvaluate(ShapeOnly):
    """Count the objects of each class, and state which of the boxes found are right.

    The top has a row for each class but the background, and for each box found.
    """

    type = "DetectionEvaluate"
    parameter = ("detection_evaluate_param", 205)
    message = "DetectionEvaluateParameter"
    dialects = SSD
    evidence = Evidence.SOURCE
    bottoms = (2, 2)

    num_classes: int = field(1, "uint32", absent=0)
    background_label_id: int = field(2, "uint32", 0)
    overlap_threshold: float = field(3, "float", 0.5)
    evaluate_difficult_gt: bool = field(4, "bool", True)
    name_size_file: str = field(5, "string", absent="")

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return ((1, 1, self.num_classes - 1 + bottoms[0][2], 5),)


class LocationLoss(IntEnum):
    """Selects the loss of locations in MultiBoxLoss."""

    L2 = 0
    SMOOTH_L1 = 1


class ConfidenceLoss(IntEnum):
    """Selects the loss of classes in MultiBoxLoss."""

    SOFTMAX = 0
    LOGISTIC = 1


class MatchType(IntEnum):
    """Selects how default boxes are matched with labelled boxes."""

    BIPARTITE = 0
    PER_PREDICTION = 1


class MiningType(IntEnum):
    """Selects which default boxes without an object are negatives."""

    NONE = 0
    MAX_NEGATIVE = 1
    HARD_EXAMPLE = 2


@register
@dataclass(frozen=True, kw_only=True)
class MultiBoxLoss(ShapeOnly, Loss):
    """Compute SSD's scalar loss from locations, confidences, default boxes and labelled boxes."""

    type = "MultiBoxLoss"
    parameter = ("multibox_loss_param", 201)
    message = "MultiBoxLossParameter"
    dialects = SSD
    evidence = Evidence.SOURCE
    bottoms = (4, 4)

    loc_loss_type: LocationLoss = field(1, LocationLoss, LocationLoss.SMOOTH_L1)
    conf_loss_type: ConfidenceLoss = field(2, ConfidenceLoss, ConfidenceLoss.SOFTMAX)
    loc_weight: float = field(3, "float", 1.0)
    num_classes: int = field(4, "uint32", absent=0)
    share_location: bool = field(5, "bool", True)
    match_type: MatchType = field(6, MatchType, MatchType.PER_PREDICTION)
    overlap_threshold: float = field(7, "float", 0.5)
    use_prior_for_matching: bool = field(8, "bool", True)
    background_label_id: int = field(9, "uint32", 0)
    use_difficult_gt: bool = field(10, "bool", True)
    do_neg_mining: bool | None = field(11, "bool")
    neg_pos_ratio: float = field(12, "float", 3.0)
    neg_overlap: float = field(13, "float", 0.5)
    code_type: CodeType = field(14, CodeType, CodeType.CORNER)
    encode_variance_in_target: bool = field(16, "bool", False)
    map_object_to_agnostic: bool = field(17, "bool", False)
    ignore_cross_boundary_bbox: bool = field(18, "bool", False)
    bp_inside: bool = field(19, "bool", False)
    mining_type: MiningType = field(20, MiningType, MiningType.MAX_NEGATIVE)
    nms_param: NonMaximumSuppression | None = field(21, NonMaximumSuppression)
    sample_size: int = field(22, "int32", 64)
    use_prior_for_nms: bool = field(23, "bool", False)
    loss_param: LossParameter = sibling_message(101, LossParameter)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        boxes = bottoms[2][2] // 4
        wanted = boxes * 4 * (1 if self.share_location else self.num_classes)
        if prod(bottoms[0][1:]) != wanted or prod(bottoms[1][1:]) != boxes * self.num_classes:
            raise ShapeMismatchError(
                f"needs {wanted} locations and {boxes * self.num_classes} scores an image, "
                f"got {bottoms[0]} and {bottoms[1]}"
            )

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return ((),)
