"""Losses and metrics that forks train detectors and segmentation nets with: their shapes alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from caffe2fx.errors import ShapeMismatchError
from caffe2fx.layers.activation import SoftmaxFields
from caffe2fx.layers.forks.loss import check_same_positions
from caffe2fx.layers.forks.shape import needs_rank
from caffe2fx.layers.layer import MANY, Evidence, of_four_axes
from caffe2fx.layers.loss import Loss, LossParameter
from caffe2fx.layers.registry import register
from caffe2fx.layers.shape_only import ShapeOnly
from caffe2fx.messages.message import Shape, field, repeated, required, sibling_message


class _Detector(ShapeOnly, Loss):
    """Base of the losses of one map of boxes; the second bottom holds the labelled boxes."""

    bottoms = (1, MANY)

    @property
    def channels(self) -> int:
        """Return how many channels the map needs."""
        raise NotImplementedError

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        # Unlike Caffe's own losses these may have labels of another first axis.
        super(Loss, self).check(bottoms, tops)
        needs_rank(bottoms[0], 4)
        if bottoms[0][1] != self.channels:
            raise ShapeMismatchError(f"needs {self.channels} channels, got {bottoms[0][1]}")

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return ((),) * tops


@register
@dataclass(frozen=True, kw_only=True)
class RegionLoss(_Detector):
    """Compute YOLOv2's loss; a pair of `biases` is one anchor."""

    type = "RegionLoss"
    parameter = ("region_loss_param", 600)
    message = "RegionLossParameter"
    dialects = ("yolo",)
    evidence = Evidence.SOURCE

    side: int = field(1, "uint32", 13)
    num_class: int = field(2, "uint32", 20)
    bias_match: int = field(3, "uint32", 1)
    coords: int = field(4, "uint32", 4)
    num: int = field(5, "uint32", 5)
    softmax: int = field(6, "uint32", 1)
    jitter: float = field(7, "float", 0.2)
    rescore: int = field(8, "uint32", 1)
    object_scale: float = field(9, "float", 1.0)
    class_scale: float = field(10, "float", 1.0)
    noobject_scale: float = field(11, "float", 0.5)
    coord_scale: float = field(12, "float", 5.0)
    absolute: int = field(13, "uint32", 1)
    thresh: float = field(14, "float", 0.2)
    random: int = field(15, "uint32", 1)
    biases: tuple[float, ...] = repeated(16, "float")
    softmax_tree: str = field(17, "string", absent="")
    class_map: str = field(18, "string", absent="")

    @property
    def channels(self) -> int:
        return self.num * (self.num_class + self.coords + 1)


class Arc(IntEnum):
    """Selects how objectness and classes are combined into one loss."""

    DEFAULT = 0
    BCE = 1
    CE = 2


class BoxLoss(IntEnum):
    """Selects the loss of the boxes in Yolov3."""

    IOU = 0
    GIOU = 1
    MSE = 2
    DIOU = 3
    CIOU = 4


@register
@dataclass(frozen=True, kw_only=True)
class Yolov3(_Detector):
    """Compute YOLOv3's loss of one map; `mask` lists the map's anchors among all (`biases`)."""

    type = "Yolov3"
    parameter = ("yolov3_param", 603)
    message = "Yolov3Parameter"
    dialects = ("yolo",)
    evidence = Evidence.SOURCE

    side: int = field(1, "uint32", 13)
    num_class: int = field(2, "uint32", 20)
    num: int = field(3, "uint32", 5)
    object_scale: float = field(4, "float", 1.0)
    class_scale: float = field(5, "float", 1.0)
    noobject_scale: float = field(6, "float", 0.5)
    coord_scale: float = field(7, "float", 5.0)
    thresh: float = field(8, "float", 0.2)
    biases: tuple[float, ...] = repeated(9, "float")
    mask: Shape = repeated(10, "uint32")
    anchors_scale: int = field(11, "uint32", 32)
    use_logic_gradient: bool = field(12, "bool", False)
    use_focal_loss: bool = field(13, "bool", False)
    iou_loss: BoxLoss = field(14, BoxLoss, BoxLoss.MSE)
    iou_normalizer: float = field(15, "float", 0.25)
    iou_thresh: float = field(16, "float", 0.5)
    max_delta: float = field(17, "float", 10.0)
    accumulate: bool = field(18, "bool", True)
    label_smooth_eps: float = field(19, "float", 0.1)
    arc: Arc = field(20, Arc, Arc.DEFAULT)

    @property
    def channels(self) -> int:
        return self.num * (self.num_class + 5)


@register
@dataclass(frozen=True, kw_only=True)
class YoloSeg(ShapeOnly, Loss):
    """Compute the loss of a map (N, C, H, W) with a label for each position."""

    type = "YoloSeg"
    parameter = ("yolo_seg_param", 604)
    message = "YoloSegParameter"
    dialects = ("yolo",)
    evidence = Evidence.SOURCE
    bottoms = (2, 3)

    object_scale: float = field(1, "float", 5.0)
    class_scale: float = field(2, "float", 1.0)
    num_class: int = field(3, "uint32", 0)
    use_logic_gradient: bool = field(4, "bool", False)
    use_hardsigmoid: bool = field(5, "bool", False)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return ((),) * tops


class AccuracyMetric(IntEnum):
    """Selects the metric that a fork's SegAccuracy computes."""

    PixelAccuracy = 0
    ClassAccuracy = 1
    PixelIOU = 2


@register
@dataclass(frozen=True, kw_only=True)
class SegAccuracy(ShapeOnly):
    """Compute accuracy of pixels, mean recall of classes, and mean intersection over union."""

    type = "SegAccuracy"
    parameter = ("seg_accuracy_param", 164)
    message = "SegAccuracyParameter"
    dialects = ("deeplab", "pspnet")
    evidence = Evidence.SOURCE
    bottoms = (2, 2)

    ignore_label: Shape = repeated(1, "int32")
    reset: bool = field(2, "bool", True)
    metric: AccuracyMetric = field(3, AccuracyMetric, AccuracyMetric.PixelAccuracy)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return ((1, 1, 1, 3),)


@register
@dataclass(frozen=True, kw_only=True)
class SoftmaxWithLossOHEM(ShapeOnly, SoftmaxFields, Loss):
    """Compute R-FCN's softmax loss; further tops are the softmax, and the loss of each label."""

    type = "SoftmaxWithLossOHEM"
    dialects = ("rfcn",)
    evidence = Evidence.SOURCE
    tops = (0, 3)

    loss_param: LossParameter = sibling_message(101, LossParameter)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return ((), *map(tuple, bottoms))[:tops]


@register
@dataclass(frozen=True, kw_only=True)
class SmoothL1LossOHEM(ShapeOnly, Loss):
    """Compute R-FCN's smooth L1 loss of boxes with weights; second top: loss per position."""

    type = "SmoothL1LossOHEM"
    parameter = ("smooth_l1_loss_param", 8266712)
    message = "SmoothL1LossParameter"
    dialects = ("rfcn",)
    evidence = Evidence.SOURCE
    bottoms = (2, 3)
    tops = (0, 2)

    sigma: float = field(1, "float", 1.0)
    loss_param: LossParameter = sibling_message(101, LossParameter)

    def check(self, bottoms: Sequence[Shape], tops: int) -> None:
        super().check(bottoms, tops)
        check_same_positions(bottoms)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        count, _, height, width = of_four_axes(bottoms[0])
        return ((), (count, 1, height, width))[:tops]


@register
@dataclass(frozen=True, kw_only=True)
class BoxAnnotatorOHEM(ShapeOnly):
    """Select the `roi_per_img` regions of the largest loss: their labels and weights.

    The bottoms are regions, losses, labels and weights.
    """

    type = "BoxAnnotatorOHEM"
    parameter = ("box_annotator_ohem_param", 8266713)
    message = "BoxAnnotatorOHEMParameter"
    dialects = ("rfcn",)
    evidence = Evidence.SOURCE
    bottoms = (4, 4)
    tops = (2, 2)

    roi_per_img: int = required(1, "uint32")
    ignore_label: int = field(2, "int32", -1)

    def top_shapes(self, bottoms: Sequence[Shape], tops: int) -> tuple[Shape, ...]:
        return tuple(map(tuple, bottoms[2:]))
