"""PyTorch to Caffe: export a model as prototxt and caffemodel, and prove the result."""

from fx2caffe.errors import Refusal, UnsupportedError
from fx2caffe.exporter.exporter import check, export
from fx2caffe.exporter.result import Export
from fx2caffe.legacy_api import compare_caffe_model, create_model, create_model_weight
from fx2caffe.lowering.registry import register, unregister
from fx2caffe.preprocessing import Preprocessing

__all__ = [
    "Export",
    "Preprocessing",
    "Refusal",
    "UnsupportedError",
    "check",
    "compare_caffe_model",
    "create_model",
    "create_model_weight",
    "export",
    "register",
    "unregister",
]
