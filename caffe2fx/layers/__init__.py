"""All layer records, by family."""

from caffe2fx.layer import Layer, registered
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
from caffe2fx.layers.arithmetic import AbsVal, Exp, Log
from caffe2fx.layers.convolution import Convolution, Deconvolution, Im2col, InnerProduct
from caffe2fx.layers.data import DummyData, Input, Parameter
from caffe2fx.layers.elementwise import Eltwise, EltwiseOp
from caffe2fx.layers.lookup import BatchReindex, Embed
from caffe2fx.layers.normalization import LRN, MVN, BatchNorm, Bias, NormRegion, Scale
from caffe2fx.layers.pooling import Pooling, PoolMethod, RoundMode
from caffe2fx.layers.reduction import ArgMax, Reduction, ReductionOp
from caffe2fx.layers.shape import Concat, Crop, Flatten, Reshape, Silence, Slice, Split, Tile

REGISTRY: dict[str, type[Layer]] = registered()

__all__ = [
    "BNLL",
    "ELU",
    "LRN",
    "MVN",
    "REGISTRY",
    "AbsVal",
    "ArgMax",
    "BatchNorm",
    "BatchReindex",
    "Bias",
    "Clip",
    "Concat",
    "Convolution",
    "Crop",
    "Deconvolution",
    "Dropout",
    "DummyData",
    "Eltwise",
    "EltwiseOp",
    "Embed",
    "Exp",
    "Flatten",
    "Im2col",
    "InnerProduct",
    "Input",
    "Layer",
    "Log",
    "NormRegion",
    "PReLU",
    "Parameter",
    "PoolMethod",
    "Pooling",
    "Power",
    "ReLU",
    "Reduction",
    "ReductionOp",
    "Reshape",
    "RoundMode",
    "Scale",
    "Sigmoid",
    "Silence",
    "Slice",
    "Softmax",
    "Split",
    "Swish",
    "TanH",
    "Threshold",
    "Tile",
]
