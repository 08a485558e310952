"""Caffe to PyTorch: load a net as a torch.fx.GraphModule, and compare the two."""

from typing import TYPE_CHECKING

from caffe2fx.first_use import first_use

if TYPE_CHECKING:
    from caffe2fx.errors import (
        CaffeError,
        CaffeFileError,
        CaffeFormatError,
        EngineError,
        ShapeMismatchError,
        UnknownLayerError,
    )
    from caffe2fx.files.dump_readers import MapSpec, read_dump, register_reader, unregister_reader
    from caffe2fx.layers.user_defined import register, unregister
    from caffe2fx.legacy_api import (
        caffe2pytorch,
        compare_caffe_model,
        compare_caffe_pytorch_model,
    )
    from caffe2fx.module.image_transform import read_mean
    from caffe2fx.module.loader import load
    from caffe2fx.module.save import save_weights
    from caffe2fx.module.training import parameter_groups
    from caffe2fx.verdict.comparison import compare
    from caffe2fx.verdict.result.dump_report import DumpReport, Thresholds
else:
    __getattr__, __dir__ = first_use(
        __name__,
        {
            "caffe2fx.errors": [
                "CaffeError",
                "CaffeFileError",
                "CaffeFormatError",
                "EngineError",
                "ShapeMismatchError",
                "UnknownLayerError",
            ],
            "caffe2fx.files.dump_readers": [
                "MapSpec",
                "read_dump",
                "register_reader",
                "unregister_reader",
            ],
            "caffe2fx.layers.user_defined": ["register", "unregister"],
            "caffe2fx.legacy_api": [
                "caffe2pytorch",
                "compare_caffe_model",
                "compare_caffe_pytorch_model",
            ],
            "caffe2fx.module.image_transform": ["read_mean"],
            "caffe2fx.module.loader": ["load"],
            "caffe2fx.module.save": ["save_weights"],
            "caffe2fx.module.training": ["parameter_groups"],
            "caffe2fx.verdict.comparison": ["compare"],
            "caffe2fx.verdict.result.dump_report": ["DumpReport", "Thresholds"],
        },
    )

__all__ = [
    "CaffeError",
    "CaffeFileError",
    "CaffeFormatError",
    "DumpReport",
    "EngineError",
    "MapSpec",
    "ShapeMismatchError",
    "Thresholds",
    "UnknownLayerError",
    "caffe2pytorch",
    "compare",
    "compare_caffe_model",
    "compare_caffe_pytorch_model",
    "load",
    "parameter_groups",
    "read_dump",
    "read_mean",
    "register",
    "register_reader",
    "save_weights",
    "unregister",
    "unregister_reader",
]
