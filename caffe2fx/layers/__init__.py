"""All layer records, by family."""

from collections.abc import Mapping

from caffe2fx.layers.activation import (
    BNLL,
    ELU,
    Clip,
    Dropout,
    Power,
    PReLU,
    ReLU,
    Sigmoid,
    Softmax,
    Swish,
    TanH,
    Threshold,
)
from caffe2fx.layers.affine import Bias, Scale
from caffe2fx.layers.arithmetic import AbsVal, Exp, Log
from caffe2fx.layers.convolution import Convolution, Deconvolution, Im2col
from caffe2fx.layers.data import (
    DummyData,
    HDF5Data,
    HDF5Output,
    Input,
    Parameter,
    Source,
    TransformationParameter,
)
from caffe2fx.layers.detection import CodeType, DetectionOutput, PriorBox
from caffe2fx.layers.distance import ContrastiveLoss, EuclideanLoss, HingeLoss, Norm
from caffe2fx.layers.elementwise import Eltwise, EltwiseOp
from caffe2fx.layers.forks.activation import CReLU, HardSigmoid, HardSwish, Mish, ReLU6
from caffe2fx.layers.forks.arithmetic import Axpy, Correlation, MatMul
from caffe2fx.layers.forks.convolution import ConvolutionDepthwise, DepthwiseConvolution
from caffe2fx.layers.forks.images import AnnotatedData, ImageSegData, LaneData, VideoData
from caffe2fx.layers.forks.loss import SmoothL1Loss
from caffe2fx.layers.forks.normalization import BN, Normalize
from caffe2fx.layers.forks.position import Reorg, Upsample, UpsampleMask
from caffe2fx.layers.forks.recurrent import Lstm
from caffe2fx.layers.forks.resize import Interp
from caffe2fx.layers.forks.shape import Padding, Permute, Reverse, ShuffleChannel
from caffe2fx.layers.forks.sides import ConvolutionSides, PoolingSides
from caffe2fx.layers.forks.tensorflow import DepthToSpace
from caffe2fx.layers.forks.training import RegionLoss, SegAccuracy, YoloSeg, Yolov3
from caffe2fx.layers.forks.variants import BatchNormScaleBias, DropoutUnscaled
from caffe2fx.layers.forks.warp import Warp
from caffe2fx.layers.images import Data, ImageData, MemoryData, WindowData
from caffe2fx.layers.inner_product import InnerProduct
from caffe2fx.layers.layer import Layer
from caffe2fx.layers.lookup import BatchReindex, Embed, Filter
from caffe2fx.layers.loss import (
    Accuracy,
    InfogainLoss,
    LossParameter,
    MultinomialLogisticLoss,
    NormalizationMode,
    SigmoidCrossEntropyLoss,
    SoftmaxWithLoss,
)
from caffe2fx.layers.normalization import LRN, MVN, BatchNorm, NormRegion
from caffe2fx.layers.pooling import SPP, Pooling, PoolMethod, RoundMode
from caffe2fx.layers.proposal import Proposal
from caffe2fx.layers.python_layers import PythonData, proposal_layer
from caffe2fx.layers.recurrent import LSTM, RNN, LSTMUnit
from caffe2fx.layers.reduction import ArgMax, Reduction, ReductionOp
from caffe2fx.layers.regions import PSROIPooling, ROIAlign, ROIPooling
from caffe2fx.layers.registry import registered
from caffe2fx.layers.shape import Concat, Crop, Flatten, Reshape, Silence, Slice, Split, Tile
from caffe2fx.layers.shape_only import (
    DetectionEvaluate,
    MultiBoxLoss,
    ShapeOnly,
    YoloDetectionOutput,
    Yolov3DetectionOutput,
)
from caffe2fx.layers.user_defined import Python

REGISTRY: Mapping[str, tuple[type[Layer], ...]] = registered()

__all__ = [
    "BN",
    "BNLL",
    "ELU",
    "LRN",
    "LSTM",
    "MVN",
    "REGISTRY",
    "RNN",
    "SPP",
    "AbsVal",
    "Accuracy",
    "AnnotatedData",
    "ArgMax",
    "Axpy",
    "BatchNorm",
    "BatchNormScaleBias",
    "BatchReindex",
    "Bias",
    "CReLU",
    "Clip",
    "CodeType",
    "Concat",
    "ContrastiveLoss",
    "Convolution",
    "ConvolutionDepthwise",
    "ConvolutionSides",
    "Correlation",
    "Crop",
    "Data",
    "Deconvolution",
    "DepthToSpace",
    "DepthwiseConvolution",
    "DetectionEvaluate",
    "DetectionOutput",
    "Dropout",
    "DropoutUnscaled",
    "DummyData",
    "Eltwise",
    "EltwiseOp",
    "Embed",
    "EuclideanLoss",
    "Exp",
    "Filter",
    "Flatten",
    "HDF5Data",
    "HDF5Output",
    "HardSigmoid",
    "HardSwish",
    "HingeLoss",
    "Im2col",
    "ImageData",
    "ImageSegData",
    "InfogainLoss",
    "InnerProduct",
    "Input",
    "Interp",
    "LSTMUnit",
    "LaneData",
    "Layer",
    "Log",
    "LossParameter",
    "Lstm",
    "MatMul",
    "MemoryData",
    "Mish",
    "MultiBoxLoss",
    "MultinomialLogisticLoss",
    "Norm",
    "NormRegion",
    "NormalizationMode",
    "Normalize",
    "PReLU",
    "PSROIPooling",
    "Padding",
    "Parameter",
    "Permute",
    "PoolMethod",
    "Pooling",
    "PoolingSides",
    "Power",
    "PriorBox",
    "Proposal",
    "Python",
    "PythonData",
    "ROIAlign",
    "ROIPooling",
    "ReLU",
    "ReLU6",
    "Reduction",
    "ReductionOp",
    "RegionLoss",
    "Reorg",
    "Reshape",
    "Reverse",
    "RoundMode",
    "Scale",
    "SegAccuracy",
    "ShapeOnly",
    "ShuffleChannel",
    "Sigmoid",
    "SigmoidCrossEntropyLoss",
    "Silence",
    "Slice",
    "SmoothL1Loss",
    "Softmax",
    "SoftmaxWithLoss",
    "Source",
    "Split",
    "Swish",
    "TanH",
    "Threshold",
    "Tile",
    "TransformationParameter",
    "Upsample",
    "UpsampleMask",
    "VideoData",
    "Warp",
    "WindowData",
    "YoloDetectionOutput",
    "YoloSeg",
    "Yolov3",
    "Yolov3DetectionOutput",
    "proposal_layer",
]
