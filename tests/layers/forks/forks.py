"""Rows of the layers of Caffe's forks; the fork cases hold their values against the forks."""

from __future__ import annotations

from caffe2fx.layers.detection import (
    CodeType,
    DetectionOutput,
    NonMaximumSuppression,
    PriorBox,
    PriorBoxOffsets,
    SaveOutput,
)
from caffe2fx.layers.forks.activation import (
    CReLU,
    HardSigmoid,
    HardSwish,
    Mish,
    ReLU6,
    SeLu,
    SeLuDropout,
)
from caffe2fx.layers.forks.arithmetic import (
    Axpy,
    Correlation,
    CorrelationType,
    MatMul,
    MatMulBatched,
)
from caffe2fx.layers.forks.convolution import (
    Convolution3D,
    ConvolutionDepthwise,
    Deconvolution3D,
    DepthwiseConvolution,
    Pooling3D,
)
from caffe2fx.layers.forks.loss import SmoothL1Loss
from caffe2fx.layers.forks.normalization import BN, BNMode, BNOfBoth, BNScale, Normalize
from caffe2fx.layers.forks.position import Reorg, ReorgSpace, Upsample, UpsampleMask, UpsampleStride
from caffe2fx.layers.forks.recurrent import Lstm
from caffe2fx.layers.forks.resize import Interp
from caffe2fx.layers.forks.shape import (
    CropCenter,
    Gather,
    Pad,
    Padding,
    PadND,
    PadType,
    Permute,
    PixelShuffle,
    Reverse,
    ShuffleChannel,
    Squeeze,
    Transpose,
    Unsqueeze,
)
from caffe2fx.layers.forks.sides import ConvolutionSides, PoolingSides
from caffe2fx.layers.forks.synopsys import (
    BatchNormEps,
    DetectionOutputHeads,
    ReLUBounded,
    ReshapeShuffled,
    UpsampleDarknet,
)
from caffe2fx.layers.forks.tensorflow import DepthToSpace, ResizeBilinear, ResizeNearestNeighbor
from caffe2fx.layers.forks.variants import BatchNormScaleBias, DropoutUnscaled, SpatialDropout
from caffe2fx.layers.forks.warp import Warp
from caffe2fx.layers.loss import LossParameter, NormalizationMode, SoftmaxWithLoss
from caffe2fx.layers.pooling import Pooling, PoolMethod, RoundMode
from caffe2fx.layers.proposal import Proposal
from caffe2fx.layers.regions import PSROIPooling, ROIAlign, ROIPooling
from caffe2fx.messages.common import Engine, Filler
from tests.layers.row import Row, Tops


class Statistics(Row):
    """Is a row whose last blobs are a variance and those that may follow it."""

    def blobs(self) -> Tops:
        made = [blob.abs() + 0.5 for blob in super().blobs()]
        if isinstance(self.layer, BatchNormScaleBias):
            made[2].fill_(self.factor)
        return tuple(made)


IMAGE = (2, 4, 6, 8)
VIDEO = (1, 2, 5, 6, 6)
REGIONS = ((), (0, 1, 1, 4, 5, 1, 0, 2, 7, 5))
TWO = (IMAGE, (2, 5))
BOXES = ((2, 24), (2, 18), (1, 2, 24))
WEIGHTED = Filler(value=2.0)
ANCHORS = ((1, 8, 3, 4), (1, 16, 3, 4), (1, 3))
SIZE = ((), (), (40, 60, 1))
MAPS = ((1, 3, 4, 5), (1, 3, 40, 50))

SIX = (4, 4, 2, 3, 1, 2)  # default boxes of heads

ROWS = (
    Row("permute", Permute(order=(0, 2, 3, 1)), (IMAGE,)),
    Row("permute of some", Permute(order=(2,)), (IMAGE,)),
    Row("transpose", Transpose(dim=(3, 2, 0, 1)), (IMAGE,)),
    Row("shuffle", ShuffleChannel(group=2), (IMAGE,)),
    Row("shuffle of rank 2", ShuffleChannel(group=2), ((2, 4),)),
    Row("shuffle of rank 3", ShuffleChannel(group=4), ((2, 8, 3),)),
    Row("reverse", Reverse(axis=(1, -1)), (IMAGE,)),
    Row("reverse one axis", Reverse(axis=(2,)), (IMAGE,)),
    Row("padding", Padding(pad_l=1, pad_r=2, pad_t=3, pad_b=4, pad_value=5), (IMAGE,)),
    Row("pad", Pad(pad_l=1, pad_r=2, pad_u=3, pad_d=4, pad_value=0.5), (IMAGE,)),
    Row("pad reflect", Pad(pad_l=1, pad_type=PadType.REFLECT), (IMAGE,)),
    Row("pad replicate", Pad(pad_d=3, pad_type=PadType.REPLICATE), (IMAGE,)),
    Row("pad axes", PadND(paddings=(0, 0, 1, 2, 0, 3), constant_values=0.5), ((2, 3, 4),)),
    Row("pixel shuffle", PixelShuffle(upscale_factor=2), (IMAGE,)),
    Row("squeeze", Squeeze(axis=(-1,)), ((2, 1, 3, 1),)),
    Row("squeeze all", Squeeze(), ((2, 1, 3, 1),)),
    Row("unsqueeze", Unsqueeze(dim=-1), ((2, 3),)),
    Row("crop centre", CropCenter(crop_size=(0, 0, 1, 2)), (IMAGE,)),
    Row("reorg", Reorg(stride=2), (IMAGE,)),
    Row("reorg reverse", Reorg(stride=2, reverse=True), (IMAGE,)),
    Row("reorg to depth", ReorgSpace(stride=2), (IMAGE,)),
    Row("reorg to depth reverse", ReorgSpace(stride=2, reverse=True), ((2, 16, 2, 3),)),
    Row("upsample", Upsample(scale=3), (IMAGE,)),
    Row("upsample stride", UpsampleStride(scale=2, stride=3), (IMAGE,)),
    Row("upsample stride h w", UpsampleStride(stride_h=3, stride_w=1), (IMAGE,)),
    Row("upsample mask", UpsampleMask(), ((1, 1, 2, 2),) * 2, values=((), (0, 3, 9, 14))),
    Row("upsample mask scale 2", UpsampleMask(), ((2, 3, 2, 2),) * 2,
        values=((), (0, 3, 9, 14) * 6), spelled="upsample_param { scale: 2 }"),
    Row("upsample mask scale", UpsampleMask(scale=3), ((1, 1, 1, 2),) * 2, values=((), (0, 17))),
    Row("upsample mask pad", UpsampleMask(pad_out_h=True, pad_out_w=True), ((1, 1, 2, 2),) * 2,
        values=((), (0, 2, 6, 8)),
        spelled="upsample_param { scale: 2 pad_out_h: true pad_out_w: true }"),
    Row("upsample mask h w", UpsampleMask(scale_h=2, scale_w=3), ((1, 1, 1, 1),) * 2,
        values=((), (5,))),
    Row("upsample mask to", UpsampleMask(upsample_h=4, upsample_w=5), ((1, 1, 1, 2),) * 2,
        values=((), (19, 0))),

    Row("relu6", ReLU6(), (IMAGE,)),
    Row("relu6 slope", ReLU6(negative_slope=0.1), (IMAGE,)),
    Row("relu6 threshold", ReLU6(negative_slope=0.1, threshold=0.5), (IMAGE,)),
    Row("hard swish", HardSwish(), (IMAGE,), values=((-4, -3, -1, 0, 2, 3, 5),)),
    Row("hard sigmoid", HardSigmoid(alpha=0.3, beta=0.4), (IMAGE,), values=((-4, 4),)),
    Row("hard sigmoid default", HardSigmoid(), (IMAGE,),
        spelled="hardsigmoid_param { alpha: 0.2 }"),
    Row("mish", Mish(), (IMAGE,)),
    Row("selu", SeLu(), (IMAGE,), values=((-30, -1, 0, 1),)),
    Row("selu dropout", SeLuDropout(dropout_ratio=0.2), (IMAGE,)),
    Row("gather", Gather(), (IMAGE, (2, 1)), 2),
    Row("crelu", CReLU(), (IMAGE,)),
    Row("crelu slope", CReLU(negative_slope=0.5, concat_axis=2), (IMAGE,)),

    Row("interp", Interp(height=9, width=3), (IMAGE,)),
    Row("interp factors", Interp(shrink_factor=2, zoom_factor=3), (IMAGE,)),
    Row("interp pads", Interp(zoom_factor=2, pad_beg=-1, pad_end=-2), (IMAGE,)),
    Row("interp bottom", Interp(use_blob_size=True), (IMAGE, (1, 7, 3, 9))),

    Row("normalize", Normalize(), (IMAGE,)),
    Row("normalize per channel", Normalize(channel_shared=False, scale_filler=WEIGHTED), (IMAGE,)),
    Row("normalize of rank 2", Normalize(), ((2, 3),)),
    Row("normalize of rank 3 at each", Normalize(across_spatial=False), ((2, 3, 4),)),
    Row("normalize at each", Normalize(across_spatial=False, eps=0.01), (IMAGE,)),
    Statistics("bn", BN(eps=0.01, momentum=0.95, frozen=True, engine=Engine.CAFFE), (IMAGE,)),
    Statistics("bn fillers", BN(slope_filler=WEIGHTED, bias_filler=WEIGHTED), (IMAGE,)),
    Statistics("bn learn", BNScale(scale_filler=WEIGHTED, shift_filler=WEIGHTED), (IMAGE,)),
    Statistics("bn inference", BNScale(bn_mode=BNMode.INFERENCE), (IMAGE,)),
    Statistics("bn of both, learn", BNOfBoth(
        slope_filler=WEIGHTED, bias_filler=WEIGHTED, eps=0.01, momentum=0.95, frozen=True,
        engine=Engine.CAFFE), (IMAGE,)),
    Statistics("bn of both, inference", BNOfBoth(
        bn_mode=BNMode.INFERENCE, scale_filler=WEIGHTED, shift_filler=WEIGHTED), (IMAGE,)),
    Row("convolution sides", ConvolutionSides(
        num_output=3, kernel_size=(3,), stride=(2,), pad_l=1, pad_r=2, pad_t=3, pad_b=4), (IMAGE,)),
    Row("convolution same", ConvolutionSides(
        num_output=3, kernel_size=(3,), stride=(2,), pad_type=1), (IMAGE,)),
    Row("convolution same, dilated", ConvolutionSides(
        num_output=2, kernel_h=2, kernel_w=3, dilation=(2,), pad_type=1), (IMAGE,)),
    Row("pooling sides", PoolingSides(
        kernel_h=4, kernel_w=3, stride=2, pad_l=2, pad_r=1, pad_t=1, pad_b=3), (IMAGE,)),
    Row("pooling sides, average", PoolingSides(
        kernel_size=3, stride=2, pad_l=2, pad_r=1, pool=PoolMethod.AVE), (IMAGE,)),
    Row("pooling same", PoolingSides(kernel_size=3, stride=2, pad_type=1), (IMAGE,)),
    Row("pooling, average without padding", Pooling(
        kernel_size=3, stride=2, pad=1, pool=PoolMethod.AVE_EXC_PAD), (IMAGE,)),
    Row("relu6 of a relu", ReLUBounded(relu6=True), (IMAGE,)),
    Row("relu bounded", ReLUBounded(
        minimum=-0.5, maximum=0.5, negative_slope=0.5, engine=Engine.CAFFE), (IMAGE,)),
    Row("relu under another blob", ReLUBounded(negative_slope=0.5), (IMAGE, (2,))),
    Row("reshape shuffled", ReshapeShuffled(pixelshuffler=2, shape=(0, 1, -1, 16)), (IMAGE,)),
    Statistics("batch norm eps", BatchNormEps(add_eps_before_sqrt=False, eps=0.01), (IMAGE,)),
    Statistics("batch norm icnet", BatchNormEps(icnet=True), (IMAGE,)),
    Statistics("bn icnet", BN(icnet=True), (IMAGE,)),
    Statistics("bn not icnet", BNScale(icnet=False), (IMAGE,)),
    Row("heads", DetectionOutputHeads(
        num_classes=3, nbottom=2, no_permute=True, nms_param=NonMaximumSuppression(top_k=9),
        keep_top_k=5), ((1, 3, 2, 6), (1, 3, 1, 4), (1, 8, 2, 3), (1, 4, 2, 2), (1, 2, 64))),
    Row("heads by ratio", DetectionOutputHeads(
        num_classes=2, nbottom=6, ratio_permute=True, ratio0=1, ratio1=2, ratio2=1, ratio3=3,
        ratio4=1, ratio5=2, keep_top_k=5),
        (*((1, 2 * n) for n in SIX), *((1, 4 * n) for n in SIX), (1, 2, 4 * sum(SIX)))),
    Row("heads by ratio of their own", DetectionOutputHeads(
        num_classes=3, nbottom=2, ratio_permute=True),
        ((1, 18), (1, 6), (1, 24), (1, 8), (1, 2, 24), (1, 2, 8))),
    Row("lstm of ctpn", Lstm(
        num_output=4, clipping_threshold=1, weight_filler=WEIGHTED, bias_filler=WEIGHTED,
        batch_size=2), ((3, 2, 5),)),
    Row("lstm of ctpn that goes on", Lstm(num_output=4), ((3, 2, 5), (3, 2))),
    Row("spatial dropout", SpatialDropout(dropout_ratio=0.1), (IMAGE,)),
    Row("darknet", UpsampleDarknet(stride=3), (IMAGE,)),
    Row("depth to space", DepthToSpace(block_size=2), ((2, 3, 2, 8),)),
    Row("depth to space, channels first", DepthToSpace(block_size=2, data_format="NCHW"), (IMAGE,)),
    Row("depth to space, DCR", DepthToSpace(block_size=2, data_format="DCR"), (IMAGE,)),
    Row("depth to space, CRD", DepthToSpace(block_size=2, data_format="CRD"), (IMAGE,)),
    Row("nearest", ResizeNearestNeighbor(output_height=7, scale_width=1.5, data_format="NCHW"),
        (IMAGE,)),
    Row("nearest of corners", ResizeNearestNeighbor(
        output_height=7, output_width=3, align_corners=True), ((2, 3, 4, 5),)),
    Row("nearest of middles", ResizeNearestNeighbor(
        scale_height=2, half_pixel_centers=True, data_format="NCHW"), (IMAGE,)),
    Row("nearest as in ONNX", ResizeNearestNeighbor(
        output_height=7, half_pixel_onnx=True, data_format="NCHW"), (IMAGE,)),
    Row("bilinear", ResizeBilinear(output_height=7, scale_width=1.5, data_format="NCHW"),
        (IMAGE,)),
    Row("bilinear of corners", ResizeBilinear(
        output_height=7, output_width=3, align_corners=True), ((2, 3, 4, 5),)),
    Row("bilinear of middles", ResizeBilinear(
        scale_height=2, half_pixel_centers=True, data_format="NCHW"), (IMAGE,)),
    Row("bilinear as in torch", ResizeBilinear(
        output_height=1, output_width=7, pytorch_half_pixel=True, data_format="NCHW"), (IMAGE,)),
    Statistics("batch norm scale bias", BatchNormScaleBias(scale_bias=True, eps=0.01), (IMAGE,)),
    Statistics("batch norm of rank 2",
        BatchNormScaleBias(scale_bias=True, scale_filler=WEIGHTED, bias_filler=WEIGHTED),
        ((3, 4),)),
    Statistics("batch norm of batch", BatchNormScaleBias(
        scale_bias=True, use_global_stats=False, moving_average_fraction=0.9,
        engine=Engine.CUDNN), (IMAGE,)),
    Statistics("batch norm without", BatchNormScaleBias(scale_bias=False), (IMAGE,)),
    Row("dropout unscaled", DropoutUnscaled(scale_train=False, dropout_ratio=0.3), (IMAGE,)),
    Row("dropout scaled", DropoutUnscaled(scale_train=True), (IMAGE,)),
    Row("dropout without chance", DropoutUnscaled(scale_train=True), (IMAGE,),
        spelled="dropout_param { scale_train: true sample_weights_test: false }"),

    Row("axpy", Axpy(), ((2, 4, 1, 1), IMAGE, IMAGE)),
    Row("axpy of rank 2", Axpy(), ((2, 4), IMAGE, IMAGE)),
    Row("matmul", MatMul(dim_1=2, dim_2=3, dim_3=4), ((1, 1, 2, 3), (4, 3))),
    Row("matmul of a vector", MatMul(dim_1=2, dim_2=3), ((2, 3), (3,))),
    Row("matmul batched", MatMulBatched(), ((2, 3, 4), (2, 4, 5))),
    Row("matmul transposed", MatMulBatched(transpose_a=True, transpose_b=True),
        ((2, 4, 3), (2, 5, 4))),
    Row("warp", Warp(), ((2, 3, 4, 5), (2, 2, 4, 5))),
    Row("warp far", Warp(), ((1, 2, 3, 3), (1, 2, 3, 3)), values=((), (1, -1, 2, 0.5, 9, -0.5))),
    Row("correlation", Correlation(kernel_size=1, max_displacement=2, pad=2), (IMAGE, IMAGE)),
    Row("correlation patch", Correlation(
        kernel_size=3, max_displacement=2, pad=3, stride_1=3, stride_2=2,
        correlation_type=CorrelationType.SUBTRACT), (IMAGE, IMAGE)),
    Row("smooth l1", SmoothL1Loss(sigma=2), ((3, 4), (3, 4))),
    Row("smooth l1 weights", SmoothL1Loss(), ((3, 4),) * 4),
    Row("smooth l1 of four axes", SmoothL1Loss(), ((3, 4), (3, 4, 1, 1))),
    *(Row(f"softmax loss by {number}", SoftmaxWithLoss(loss_param=LossParameter(
        normalization=NormalizationMode.PRE_FIXED, pre_fixed_normalizer=number)),
        ((3, 4), (3,)), values=((), (2, 0, 3))) for number in (2.5, 0.5)),

    Row("depthwise", DepthwiseConvolution(num_output=4, group=4, kernel_size=(3,)), (IMAGE,)),
    Row("convolution depthwise", ConvolutionDepthwise(
        num_output=4, kernel_size=(3,), stride=(2,), pad=(1,), bias_term=False), (IMAGE,)),
    Row("convolution depthwise of rknn", ConvolutionDepthwise(num_output=4, kernel_size=(3,)),
        (IMAGE,), spelled="convolution_depthwise_param { num_output: 4 kernel_size: 3 }"),
    Row("convolution depthwise plain", ConvolutionDepthwise(num_output=4, kernel_size=(3,)),
        (IMAGE,)),
    Row("convolution depthwise rectangular", ConvolutionDepthwise(
        num_output=4, group=2, kernel_size=(3, 1), stride=(1, 2), pad=(1, 0), dilation=(2,)),
        (IMAGE,)),
    Row("convolution 3d", Convolution3D(
        num_output=3, kernel_size=(3,), kernel_depth=2, pad=(1,), temporal_pad=1,
        stride=(2,), temporal_stride=3), (VIDEO,)),
    Row("deconvolution 3d", Deconvolution3D(
        num_output=3, kernel_size=(2,), kernel_depth=3, stride=(2,), temporal_stride=2,
        temporal_pad=1), (VIDEO,)),
    Row("pooling 3d", Pooling3D(kernel_size=2, stride=2, kernel_depth=2, temporal_stride=2),
        (VIDEO,)),
    Row("pooling 3d ave", Pooling3D(
        kernel_size=3, stride=2, pad=1, kernel_depth=2, temporal_stride=2, temporal_pad=1,
        pool=PoolMethod.AVE), (VIDEO,)),
    Row("pooling ceil_mode", Pooling(kernel_size=3, stride=2, round_mode=RoundMode.FLOOR), (IMAGE,),
        spelled="pooling_param { kernel_size: 3 stride: 2 ceil_mode: false }"),
    Row("pooling ceil_mode true", Pooling(kernel_size=3, stride=2), (IMAGE,),
        spelled="pooling_param { kernel_size: 3 stride: 2 ceil_mode: true }"),

    Row("roi pooling", ROIPooling(pooled_h=2, pooled_w=3, spatial_scale=0.5), TWO, values=REGIONS),
    Row("roi align", ROIAlign(pooled_h=2, pooled_w=3, spatial_scale=0.5), TWO, values=REGIONS),
    Row("psroi pooling", PSROIPooling(output_dim=1, group_size=2, spatial_scale=0.5), TWO,
        values=REGIONS),
    Row("proposal", Proposal(ratio=(0.5, 1), scale=(2, 4), min_size=8), ANCHORS, values=SIZE),
    Row("proposal of any size", Proposal(
        ratio=(0.5, 1), scale=(1, 2), min_size=1, post_nms_topn=9), ANCHORS, tops=2, values=SIZE),
    Row("proposal scores", Proposal(
        ratio=(1,), scale=(1, 2, 3, 4), feat_stride=8, base_size=8, pre_nms_topn=20,
        post_nms_topn=5, nms_thresh=0.5), ANCHORS, tops=2, values=SIZE),
    Row("prior box", PriorBox(
        min_size=(10, 20), max_size=(15, 30), aspect_ratio=(2, 3), flip=False, clip=True,
        variance=(0.1, 0.1, 0.2, 0.2), offset=0.25), MAPS),
    Row("prior box img", PriorBox(min_size=(10,), img_size=60, step=8), MAPS),
    Row("prior box h w", PriorBox(min_size=(10,), img_h=60, img_w=30, step_h=8, step_w=4), MAPS),
    Row("prior box offsets", PriorBoxOffsets(
        min_size=(10.5,), aspect_ratio=(2,), offset_h=(0.5, 1), offset_w=(0.5, 0.5),
        variance=(0.1,)), MAPS),
    Row("prior box sizes", PriorBoxOffsets(
        width=(10, 20), height=(15, 5), clip=False, variance=(0.1, 0.1, 0.2, 0.2)), MAPS),
    Row("detection", DetectionOutput(num_classes=3), BOXES),
    Row("detection said", DetectionOutput(num_classes=3, confidence_threshold=0.1, keep_top_k=9),
        BOXES, spelled="detection_output_param { num_classes: 3 share_location: true"
        " background_label_id: 0 code_type: CORNER keep_top_k: 9 confidence_threshold: 0.1"
        " nms_param { nms_threshold: 0.3 } }"),
    Row("detection all", DetectionOutput(
        num_classes=3, share_location=False, background_label_id=-1, keep_top_k=5,
        nms_param=NonMaximumSuppression(nms_threshold=0.6, top_k=4, eta=0.9),
        code_type=CodeType.CENTER_SIZE, variance_encoded_in_target=True, visualize=True,
        confidence_threshold=0.1, visualize_threshold=0.6, save_file="found",
        save_output_param=SaveOutput(output_format="VOC", output_directory="out")),
        ((2, 72), (2, 18), (1, 2, 24))),
)  # fmt: skip
