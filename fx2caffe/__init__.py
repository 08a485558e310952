"""PyTorch to Caffe: export a model as prototxt and caffemodel, and prove the result."""

from fx2caffe.classic import compare_caffe_model, create_model, create_model_weight
from fx2caffe.errors import Refusal, UnsupportedError
from fx2caffe.export import Export, check, export
from fx2caffe.lower import register, unregister
from fx2caffe.passes.preprocess import Preprocessing

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
