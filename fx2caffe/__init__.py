"""PyTorch to Caffe: export a model as prototxt and caffemodel, and prove the result."""

from caffe2fx.legacy_api import (
    caffe2pytorch,
    compare_caffe_model,
    compare_caffe_pytorch_model,
)
from fx2caffe.errors import Refusal, UnsupportedError
from fx2caffe.exporter.exporter import check, export
from fx2caffe.exporter.result import Export
from fx2caffe.ir.constants import as_symbol
from fx2caffe.ir.data_movement import rearrange, take_at
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.reshape import reshaped, viewed
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.legacy_api import create_model, create_model_weight
from fx2caffe.legalize.rule import LayerCall
from fx2caffe.legalize.rules import register_rule, unregister_rule
from fx2caffe.lowering.registry import register, unregister
from fx2caffe.preprocessing import Preprocessing
from fx2caffe.single_shot import SingleShot
from fx2caffe.targets import Target

__all__ = [
    "Emitter",
    "Export",
    "LayerCall",
    "Preprocessing",
    "Refusal",
    "Refused",
    "SingleShot",
    "Symbol",
    "Target",
    "UnsupportedError",
    "as_symbol",
    "caffe2pytorch",
    "check",
    "compare_caffe_model",
    "compare_caffe_pytorch_model",
    "create_model",
    "create_model_weight",
    "export",
    "rearrange",
    "register",
    "register_rule",
    "reshaped",
    "take_at",
    "unregister",
    "unregister_rule",
    "viewed",
]
