"""PyTorch to Caffe: export a model as prototxt and caffemodel, and prove the result."""

from typing import TYPE_CHECKING

from caffe2fx.first_use import first_use

if TYPE_CHECKING:
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
else:
    __getattr__, __dir__ = first_use(
        __name__,
        {
            "caffe2fx.legacy_api": [
                "caffe2pytorch",
                "compare_caffe_model",
                "compare_caffe_pytorch_model",
            ],
            "fx2caffe.errors": ["Refusal", "UnsupportedError"],
            "fx2caffe.exporter.exporter": ["check", "export"],
            "fx2caffe.exporter.result": ["Export"],
            "fx2caffe.ir.constants": ["as_symbol"],
            "fx2caffe.ir.data_movement": ["rearrange", "take_at"],
            "fx2caffe.ir.emitter": ["Emitter"],
            "fx2caffe.ir.reshape": ["reshaped", "viewed"],
            "fx2caffe.ir.symbol": ["Refused", "Symbol"],
            "fx2caffe.legacy_api": ["create_model", "create_model_weight"],
            "fx2caffe.legalize.rule": ["LayerCall"],
            "fx2caffe.legalize.rules": ["register_rule", "unregister_rule"],
            "fx2caffe.ops": ["register", "unregister"],
            "fx2caffe.preprocessing": ["Preprocessing"],
            "fx2caffe.single_shot": ["SingleShot"],
            "fx2caffe.targets": ["Target"],
        },
    )

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
