"""Functions of an older tool under their old names and arguments, over load and compare."""

from __future__ import annotations

import keyword
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from caffe2fx.errors import CaffeError
from caffe2fx.files.dump_readers import read_dump
from caffe2fx.files.feature_dump import Dump, FeatureMap, as_array, write_dump
from caffe2fx.files.match_maps import names_of_outputs
from caffe2fx.module.graph_module import CaffeGraphModule, CaffeView, as_tensors, feature_maps
from caffe2fx.module.loader import load
from caffe2fx.verdict.dump_comparison import files_with_dump
from caffe2fx.verdict.feature_maps import log, log_line, shown
from caffe2fx.verdict.module_outputs import flattened
from caffe2fx.verdict.result.dump_report import DumpReport
from caffe2fx.weights.atomic import enduring, file_errors, replacing_all
from caffe2fx.weights.state_dict import check_fits, read_state_dict

PathLike = str | Path


def caffe2pytorch(
    prototxt_path: PathLike,
    weights_path: PathLike,
    pytorch_model_path: PathLike = "PytorchModel.py",
    outputs: Sequence[str] | None = None,
) -> CaffeGraphModule:
    """Load a Caffe net, and write a Python module that builds it again.

    PytorchModel.py holds a class of the file's own name, an nn.Module built from the two Caffe
    files (found beside it, by relative paths); PytorchModel.pth its state_dict:

        from PytorchModel import PytorchModel
        model = PytorchModel()
        model.load_state_dict(torch.load("PytorchModel.pth"))

    `outputs` are the blobs that forward returns. Returns the loaded module; raises what load
    raises, and CaffeError for a file name that is no Python name.
    """
    target = Path(pytorch_model_path)
    is_name = target.stem.isidentifier() and not keyword.iskeyword(target.stem)
    if target.suffix != ".py" or not is_name:
        raise CaffeError(
            f"pytorch_model_path needs a name like PytorchModel.py, got {target.name!r}"
        )
    module = load(prototxt_path, weights_path, outputs=outputs)
    here = os.path.realpath(target.parent)
    with file_errors(), replacing_all([target.with_suffix(".pth"), target]) as (state, source):
        with enduring(state) as file:
            torch.save(module.state_dict(), file)
        text = _SOURCE.format(
            name=target.stem,
            prototxt=os.path.relpath(os.path.realpath(prototxt_path), here),
            weights=os.path.relpath(os.path.realpath(weights_path), here),
            outputs=None if outputs is None else list(outputs),
        )
        source.write_text(text, encoding="utf-8")
    return module


_SOURCE = '''"""{name}: a Caffe net as an nn.Module. Written by caffe2fx."""

import pathlib as pathlib_of_{name}

import caffe2fx.legacy_api as legacy_api_of_{name}

folder_of_{name} = pathlib_of_{name}.Path(__file__).resolve().parent


class {name}(legacy_api_of_{name}.FromFiles):
    """The net of two Caffe files, with the weights of {name}.pth where that file is there."""

    def __init__(self):
        legacy_api_of_{name}.FromFiles.__init__(
            self,
            folder_of_{name} / {prototxt!r},
            folder_of_{name} / {weights!r},
            outputs={outputs!r},
            state=folder_of_{name} / "{name}.pth",
        )
'''


class FromFiles(CaffeGraphModule):
    """Loads a Caffe net as a class of its own: the base class in the written PytorchModel.py.

    The weights are those of `state`, a saved state_dict, if that file exists.
    """

    def __init__(
        self,
        prototxt: PathLike,
        weights: PathLike,
        *,
        outputs: Sequence[str] | None = None,
        state: PathLike | None = None,
    ) -> None:
        module = load(prototxt, weights, outputs=outputs)
        super().__init__(module, module.graph, class_name="CaffeNet")
        self.meta.update(module.meta)
        self.eval()
        if state is not None and Path(state).exists():
            held = read_state_dict(state)
            check_fits(Path(state), held, self.state_dict())
            self.load_state_dict(held)


def compare_caffe_model(
    prototxt_path: PathLike,
    weights_path: PathLike,
    numpy_input: Any,
    feature_dir: PathLike,
) -> DumpReport:
    """Compare two Caffe files with the feature maps that create_model_weight left.

    The files run on `numpy_input` (C x H x W or with a batch; a list where the net has several
    inputs) in real Caffe where it is installed, else in torch. The prototxt may have been edited:
    maps are matched by layer and blob names, and those without a partner are listed. Each layer is
    logged as it comes, those in place too, and the table with the first divergence at the end.
    """
    with shown():
        return _logged(prototxt_path, weights_path, numpy_input, read_dump(feature_dir))


def compare_caffe_pytorch_model(
    numpy_input: Any,
    prototxt_path: PathLike,
    weights_path: PathLike,
    model: nn.Module,
    feature_dir: PathLike | None = None,
) -> DumpReport:
    """Compare two Caffe files with a PyTorch model, feature map by feature map.

    If `model` did not come from Caffe its outputs are compared. `feature_dir` receives the model's
    feature maps; all else is as in compare_caffe_model.
    """
    with shown():
        net = load(prototxt_path, weights_path, strict=False).caffe
        values = as_tensors((_many(numpy_input),), net.inputs, net.input_ranks)
        floats = [value.float() for value in values]
        dump = _dump_of(model, net, floats)
        if feature_dir is not None:
            fed = dict(zip(net.inputs, floats, strict=True))
            write_dump(feature_dir, fed, dump.maps, dump.outputs)
        return _logged(prototxt_path, weights_path, tuple(floats), dump)


def _logged(prototxt: PathLike, weights: PathLike, inputs: Any, dump: Dump) -> DumpReport:
    report = files_with_dump(
        prototxt, weights, dump, _many(inputs), "best", strict=False, seen=log_line
    )
    log.info("%s\n%s", "feature maps of Caffe and PyTorch:", report)
    return report


def _many(inputs: Any) -> Any:
    return tuple(inputs) if isinstance(inputs, list) else inputs


@torch.no_grad()
def _dump_of(model: nn.Module, net: CaffeView, inputs: Sequence[Tensor]) -> Dump:
    """Return the feature maps of a model that came from Caffe, or the outputs of any other."""
    if isinstance(model, CaffeGraphModule):
        view = model.caffe
        return Dump(tuple(feature_maps(view.net, view.stream(*inputs))), outputs=view.outputs)
    leaves = list(flattened(model(*inputs)).values())
    blobs = net.blobs(*inputs)
    names = names_of_outputs(leaves, {name: blobs[name] for name in net.outputs})
    maps = (FeatureMap(n, as_array(v.float())) for n, v in zip(names, leaves, strict=True))
    return Dump(tuple(maps), outputs=names)
