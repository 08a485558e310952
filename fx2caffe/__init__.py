"""PyTorch to Caffe: export a model as prototxt and caffemodel, and prove the result."""

from caffe2fx.legacy_api import (
    caffe2pytorch,
    compare_caffe_model,
    compare_caffe_pytorch_model,
)
from fx2caffe.errors import Refusal, UnsupportedError
from fx2caffe.exporter.exporter import check, export
from fx2caffe.exporter.result import Export
from fx2caffe.legacy_api import create_model, create_model_weight
from fx2caffe.lowering.registry import register, unregister
from fx2caffe.preprocessing import Preprocessing

__all__ = [
    "Export",
    "Preprocessing",
    "Refusal",
    "UnsupportedError",
    "caffe2pytorch",
    "check",
    "compare_caffe_model",
    "compare_caffe_pytorch_model",
    "create_model",
    "create_model_weight",
    "export",
    "register",
    "unregister",
]
