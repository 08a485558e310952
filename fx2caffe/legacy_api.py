"""Functions of an older tool under their old names and arguments, on top of export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from caffe2fx.weights.atomic import file_errors, replacing
from fx2caffe.exporter.exporter import export
from fx2caffe.exporter.result import Export

PathLike = str | Path


def create_model(
    model: nn.Module,
    net_input: Any,
    model_path: PathLike = "model.prototxt",
    feature_dir: PathLike | None = None,
) -> Export:
    """Export a model and write the prototxt only.

    `net_input`: a tensor, an array (C x H x W or with a batch), or a list of them in the order
    of forward's arguments. `feature_dir` receives every feature map of the model on that input,
    which compare_caffe_model reads.
    """
    made = export(model, net_input)
    with file_errors(), replacing(model_path) as temporary:
        temporary.write_text(made.prototxt, encoding="utf-8")
    return _with_features(made, feature_dir)


def create_model_weight(
    model: nn.Module,
    net_input: Any,
    model_path: PathLike = "model.prototxt",
    weight_path: PathLike = "model.caffemodel",
    feature_dir: PathLike | None = None,
) -> Export:
    """Export a model and write prototxt and weights; the arguments are create_model's."""
    made = export(model, net_input)
    made.save(model_path, weight_path)
    return _with_features(made, feature_dir)


def _with_features(made: Export, feature_dir: PathLike | None) -> Export:
    if feature_dir is not None:
        made.dump(feature_dir)
    return made
