"""The functions of an older tool under their old names, as thin layers over export and verify."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from caffe2fx.engines import engine as engine_of
from caffe2fx.module.save import write_weights
from caffe2fx.verdict.feature_maps import features, report_features
from caffe2fx.verdict.report import Report
from caffe2fx.weights.atomic import file_errors, replacing
from fx2caffe.exporter.exporter import export
from fx2caffe.exporter.result import Export

PathLike = str | Path


def create_model(
    model: nn.Module,
    inputs: Any,
    prototxt_path: PathLike | None = None,
    caffemodel_path: PathLike | None = None,
    outputs: Sequence[str] | None = None,
    **options: Any,
) -> Export:
    """Export a model, and write each of the two files whose path is given.

    `inputs`: an array (C x H x W or with a batch), a tensor, or a list of them in the order of
    forward's arguments. `outputs` and `options` are those of fx2caffe.export.
    """
    made = export(model, inputs, outputs=outputs, **options)
    if prototxt_path is not None and caffemodel_path is not None:
        made.save(prototxt_path, caffemodel_path)
    elif prototxt_path is not None:
        with file_errors(), replacing(prototxt_path) as temporary:
            temporary.write_text(made.prototxt, encoding="utf-8")
    elif caffemodel_path is not None:
        write_weights(made.net, caffemodel_path)
    return made


def create_model_weight(
    model: nn.Module,
    inputs: Any,
    prototxt_path: PathLike | None = None,
    caffemodel_path: PathLike | None = None,
    outputs: Sequence[str] | None = None,
    **options: Any,
) -> Export:
    """As create_model, but a prototxt that exists already is kept, and only weights are written.

    Raises CaffeError that names the first difference if the existing prototxt is another net.
    """
    exists = prototxt_path is not None and Path(prototxt_path).exists()
    if not exists or prototxt_path is None or caffemodel_path is None:
        kept = None if exists else prototxt_path
        return create_model(model, inputs, kept, caffemodel_path, outputs, **options)
    made = export(model, inputs, outputs=outputs, **options)
    made.save_weights(prototxt_path, caffemodel_path)
    return made


def compare_caffe_model(
    model: nn.Module,
    inputs: Any,
    prototxt_path: PathLike,
    caffemodel_path: PathLike,
    outputs: Sequence[str] | None = None,
    feature_dir: PathLike | None = None,
    engine: str = "best",
    **options: Any,
) -> Report:
    """Compare a model with its exported files, run in `engine`, feature map by feature map.

    The files must have been exported with the same `outputs` and `options`. `feature_dir`
    receives both sides of each feature map as .npy. Logs a line for each (logging, level INFO)
    and returns the Report. `engine` "best" is real Caffe where it is there, else torch. Raises
    CaffeError that names the first difference if the prototxt is another net.
    """
    made = export(model, inputs, outputs=outputs, **options)
    files = Path(prototxt_path), Path(caffemodel_path)
    report = made.verify(engine, files=files)
    values = [value.float() for value in made.verify_inputs()]
    with engine_of(engine).open(*files) as session:
        session.reshape([tuple(value.shape) for value in values])
        found = features(made.net, made.reference(values), session.run(values))
        report_features(found, feature_dir)
    return report
