"""Caffe to PyTorch: load a net as a torch.fx.GraphModule, and compare the two."""

from caffe2fx.classic import caffe2pytorch, compare_caffe_pytorch_model
from caffe2fx.compare import compare
from caffe2fx.errors import (
    CaffeError,
    CaffeFileError,
    CaffeFormatError,
    EngineError,
    ShapeMismatchError,
    UnknownLayerError,
)
from caffe2fx.load import load
from caffe2fx.save import save_weights
from caffe2fx.training import parameter_groups
from caffe2fx.transform import read_mean
from caffe2fx.user import register, unregister

__all__ = [
    "CaffeError",
    "CaffeFileError",
    "CaffeFormatError",
    "EngineError",
    "ShapeMismatchError",
    "UnknownLayerError",
    "caffe2pytorch",
    "compare",
    "compare_caffe_pytorch_model",
    "load",
    "parameter_groups",
    "read_mean",
    "register",
    "save_weights",
    "unregister",
]
