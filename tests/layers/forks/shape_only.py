"""Rows of the layers of Caffe's forks that are known by their shapes alone."""

from __future__ import annotations

from caffe2fx.layers.detection import (
    CodeType,
    NonMaximumSuppression,
)
from caffe2fx.layers.forks.training import (
    AccuracyMetric,
    Arc,
    BoxAnnotatorOHEM,
    BoxLoss,
    RegionLoss,
    SegAccuracy,
    SmoothL1LossOHEM,
    SoftmaxWithLossOHEM,
    YoloSeg,
    Yolov3,
)
from caffe2fx.layers.loss import LossParameter, NormalizationMode
from caffe2fx.layers.shape_only import (
    ConfidenceLoss,
    DetectionEvaluate,
    LocationLoss,
    MatchType,
    MiningType,
    MultiBoxLoss,
    YoloDetectionOutput,
    Yolov3DetectionOutput,
)
from caffe2fx.messages.common import Engine
from tests.layers.row import Row

# Two images with a box each: found once rightly, once of another class, and once too often.
BOX = (0.1, 0.1, 0.5, 0.5)
FOUND = (0, 1, 0.9, *BOX, 0, 2, 0.9, *BOX, 0, 2, 0.8, *BOX, 1, 2, 0.9, *BOX, 1, 2, 0.8, *BOX)
LABELLED = (0, 1, 0, *BOX, 0, 1, 2, 0, *BOX, 0)

SHAPE_ONLY = (
    Row("yolo", YoloDetectionOutput(
        num_classes=1, coords=3, biases=(1, 2), side=7, num_box=1, nms_threshold=0.3,
        confidence_threshold=0.5, label_map_file="names"), ((1, 5, 3, 3),)),
    Row("yolo 3", Yolov3DetectionOutput(
        num_classes=1, biases=(1, 2, 3, 4), mask=(0, 1), mask_group_num=1, anchors_scale=(8,),
        confidence_threshold=0.5, nms_threshold=0.3, num_box=2, gaussian_box=True),
        ((1, 12, 3, 3),)),
    Row("evaluation of any size", DetectionEvaluate(num_classes=3),
        ((1, 1, 5, 7), (1, 1, 2, 8)), values=(FOUND, LABELLED)),
    Row("evaluation", DetectionEvaluate(
        num_classes=3, background_label_id=1, overlap_threshold=0.6, evaluate_difficult_gt=False,
        name_size_file="sizes"), ((1, 1, 5, 7), (1, 1, 2, 8))),
    Row("multi box", MultiBoxLoss(
        num_classes=3, loc_loss_type=LocationLoss.L2, conf_loss_type=ConfidenceLoss.LOGISTIC,
        loc_weight=2, share_location=False, match_type=MatchType.BIPARTITE, overlap_threshold=0.4,
        use_prior_for_matching=False, background_label_id=1, use_difficult_gt=False,
        do_neg_mining=True, neg_pos_ratio=2, neg_overlap=0.4, code_type=CodeType.CENTER_SIZE,
        encode_variance_in_target=True, map_object_to_agnostic=True, bp_inside=True,
        ignore_cross_boundary_bbox=True, mining_type=MiningType.NONE, sample_size=32,
        nms_param=NonMaximumSuppression(top_k=5), use_prior_for_nms=True,
        loss_param=LossParameter(normalization=NormalizationMode.FULL)),
        ((2, 72), (2, 18), (1, 2, 24), (1, 1, 5, 8))),
    Row("region loss", RegionLoss(
        side=7, num_class=2, bias_match=0, coords=3, num=2, softmax=0, jitter=0.3, rescore=0,
        object_scale=5, class_scale=2, noobject_scale=1, coord_scale=1, absolute=0, thresh=0.6,
        random=0, biases=(1, 2, 3, 4), softmax_tree="tree", class_map="map"),
        ((1, 12, 7, 7), (1, 1, 5, 8))),
    Row("region loss of one map", RegionLoss(
        side=7, num_class=2, num=2, biases=(1, 2, 3, 4)), ((1, 14, 7, 7), (1, 150)),
        values=((), (1, 0.5, 0.5, 0.2, 0.3, *(0,) * 145))),
    Row("yolo 3 loss", Yolov3(
        side=7, num_class=1, num=2, object_scale=5, class_scale=2, noobject_scale=1,
        coord_scale=1, thresh=0.6, biases=(1, 2, 3, 4, 5, 6), mask=(1, 2), anchors_scale=16,
        use_logic_gradient=True, use_focal_loss=True, iou_loss=BoxLoss.CIOU, iou_normalizer=0.5,
        iou_thresh=0.25, max_delta=5, accumulate=False, label_smooth_eps=0.05, arc=Arc.BCE),
        ((1, 12, 7, 7), (1, 1, 5, 8))),
    Row("yolo segmentation", YoloSeg(
        object_scale=1, class_scale=2, num_class=3, use_logic_gradient=True,
        use_hardsigmoid=True), ((2, 3, 4, 5), (2, 3, 4, 5))),
    Row("softmax loss of regions", SoftmaxWithLossOHEM(
        axis=-1, engine=Engine.CAFFE, loss_param=LossParameter(ignore_label=-1)),
        ((5, 3), (5, 1, 1, 1)), 3),
    Row("smooth l1 of regions", SmoothL1LossOHEM(sigma=3), ((5, 8, 1, 1),) * 3, 2),
    Row("smooth l1 of rows", SmoothL1LossOHEM(), ((5, 8), (5, 8, 1, 1)), 2),
    Row("box annotator", BoxAnnotatorOHEM(roi_per_img=128, ignore_label=255),
        ((5, 5, 1, 1), (5, 1, 1, 1), (5, 1, 1, 1), (5, 8, 1, 1)), 2),
    Row("segmentation accuracy", SegAccuracy(
        ignore_label=(255, 0), reset=False, metric=AccuracyMetric.PixelIOU),
        ((2, 3, 4, 5), (2, 1, 4, 5))),
)  # fmt: skip
