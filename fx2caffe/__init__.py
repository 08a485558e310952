"""PyTorch to Caffe: export a model as prototxt and caffemodel, and prove the result."""

from fx2caffe.errors import Refusal, UnsupportedError
from fx2caffe.export import Export, check, export
from fx2caffe.lower import register

__all__ = ["Export", "Refusal", "UnsupportedError", "check", "export", "register"]
