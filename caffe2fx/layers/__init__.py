"""All layer records, by family."""

from caffe2fx.layer import Layer, registered
from caffe2fx.layers.activation import Dropout, Power, ReLU, Softmax
from caffe2fx.layers.convolution import Convolution, InnerProduct
from caffe2fx.layers.data import DummyData, Input, Parameter
from caffe2fx.layers.elementwise import Eltwise, EltwiseOp
from caffe2fx.layers.normalization import BatchNorm, Bias, Scale
from caffe2fx.layers.pooling import Pooling, PoolMethod, RoundMode
from caffe2fx.layers.shape import Concat, Crop, Flatten, Reshape, Silence, Slice, Split, Tile

REGISTRY: dict[str, type[Layer]] = registered()

__all__ = [
    "REGISTRY",
    "BatchNorm",
    "Bias",
    "Concat",
    "Convolution",
    "Crop",
    "Dropout",
    "DummyData",
    "Eltwise",
    "EltwiseOp",
    "Flatten",
    "InnerProduct",
    "Input",
    "Layer",
    "Parameter",
    "PoolMethod",
    "Pooling",
    "Power",
    "ReLU",
    "Reshape",
    "RoundMode",
    "Scale",
    "Silence",
    "Slice",
    "Softmax",
    "Split",
    "Tile",
]
