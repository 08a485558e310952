"""The functions of an older tool under their old names, as thin layers over load and compare."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from caffe2fx.engines import engine as engine_of
from caffe2fx.errors import CaffeError
from caffe2fx.module.graph_module import CaffeGraphModule, as_tensors
from caffe2fx.module.loader import load
from caffe2fx.verdict.comparison import compare
from caffe2fx.verdict.feature_maps import Feature, features, report_features
from caffe2fx.verdict.report import Report
from caffe2fx.weights.atomic import file_errors, replacing_all

PathLike = str | Path


def caffe2pytorch(
    prototxt_path: PathLike,
    caffemodel_path: PathLike,
    pytorch_model_path: PathLike = "Net.py",
    outputs: Sequence[str] | None = None,
) -> CaffeGraphModule:
    """Load a Caffe net, and write a Python module that builds it again.

    Net.py holds a class of the file's own name, an nn.Module built from the two Caffe files
    (found beside it, by relative paths); Net.pth its state_dict:

        from Net import Net
        net = Net()
        net.load_state_dict(torch.load("Net.pth"))

    `outputs` are the blobs that forward returns. Returns the loaded module; raises what load
    raises, and CaffeError for a file name that is no Python name.
    """
    target = Path(pytorch_model_path)
    if target.suffix != ".py" or not target.stem.isidentifier():
        raise CaffeError(f"pytorch_model_path needs a name like Net.py, got {target.name!r}")
    module = load(prototxt_path, caffemodel_path, outputs=outputs)
    here = os.path.realpath(target.parent)
    with file_errors(), replacing_all([target.with_suffix(".pth"), target]) as (state, source):
        torch.save(module.state_dict(), state)
        text = _SOURCE.format(
            name=target.stem,
            prototxt=os.path.relpath(os.path.realpath(prototxt_path), here),
            weights=os.path.relpath(os.path.realpath(caffemodel_path), here),
            outputs=None if outputs is None else list(outputs),
        )
        source.write_text(text, encoding="utf-8")
    return module


_SOURCE = '''"""{name}: a Caffe net as an nn.Module. Written by caffe2fx."""

from pathlib import Path

from caffe2fx.legacy_api import FromFiles

HERE = Path(__file__).resolve().parent


class {name}(FromFiles):
    """The net of two Caffe files, with the weights of {name}.pth where that file is there."""

    def __init__(self):
        super().__init__(
            HERE / {prototxt!r},
            HERE / {weights!r},
            outputs={outputs!r},
            state=HERE / "{name}.pth",
        )
'''


class FromFiles(CaffeGraphModule):
    """A loaded Caffe net as a class of its own: what Net.py inherits from.

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
            with file_errors():
                self.load_state_dict(torch.load(state, map_location="cpu", weights_only=True))


def compare_caffe_pytorch_model(
    prototxt_path: PathLike,
    caffemodel_path: PathLike,
    pytorch_model: PathLike | nn.Module,
    inputs: Any,
    outputs: Sequence[str] | None = None,
    feature_dir: PathLike | None = None,
    engine: str = "best",
) -> Report:
    """Compare a Caffe net, run in `engine`, with a PyTorch model, feature map by feature map.

    `pytorch_model`: an nn.Module, or the path of a Net.py that caffe2pytorch wrote (which is
    run). `inputs`: an array (C x H x W or with a batch), a tensor, or a list of them in the
    net's order. `outputs` limits the comparison to these blobs. `feature_dir` receives both
    sides of each feature map as .npy. Logs a line for each (logging, level INFO) and returns
    the Report. `engine` "best" is real Caffe where it is there, else torch.
    """
    module = pytorch_model if isinstance(pytorch_model, nn.Module) else _class_of(pytorch_model)
    files = Path(prototxt_path), Path(caffemodel_path)
    report = compare(module, files, _many(inputs), engine=engine)
    found = _features(module, files, _many(inputs), engine)
    if outputs is not None:
        report = _only(report, outputs)
        found = [feature for feature in found if feature.name.partition("@")[0] in outputs]
    report_features(found, feature_dir)
    return report


def _many(inputs: Any) -> Any:
    return tuple(inputs) if isinstance(inputs, list) else inputs


def _only(report: Report, outputs: Sequence[str]) -> Report:
    known = {row.blob for row in report.rows}
    missing = [name for name in outputs if name not in known]
    if missing:
        raise CaffeError(f"outputs needs blobs that both sides have, got {missing}")
    return Report(report.engine, [row for row in report.rows if row.blob in outputs])


def _class_of(path: PathLike) -> nn.Module:
    """An instance of the class that a Net.py holds."""
    name = Path(path).stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise CaffeError(f"pytorch_model needs an nn.Module or a .py file, got {str(path)!r}")
    source = importlib.util.module_from_spec(spec)
    with file_errors():
        spec.loader.exec_module(source)
    made = getattr(source, name, None)
    if not isinstance(made, type) or not issubclass(made, nn.Module):
        raise CaffeError(f"{path} needs a class {name} that is an nn.Module")
    return made()


def _features(
    module: nn.Module, files: tuple[Path, Path], inputs: Any, engine: str
) -> list[Feature]:
    """The blobs of both sides; of a module that did not come from Caffe only the outputs."""
    with file_errors(), engine_of(engine).open(*files) as session:
        ranks = [len(session.net.shapes()[value]) for value in session.net.inputs]
        values = as_tensors((inputs,), [v.blob for v in session.net.inputs], ranks)
        floats = [value.float() for value in values]
        session.reshape([tuple(value.shape) for value in floats])
        with torch.no_grad():
            if isinstance(module, CaffeGraphModule):
                known = module.caffe.values(*floats)
            else:
                results = module(*floats)
                results = [results] if isinstance(results, Tensor) else list(results)
                known = dict(zip(session.net.outputs, results, strict=False))
        return list(features(session.net, known, session.run(floats)))
