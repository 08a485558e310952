"""The model that the command line names, with its inputs where it has some."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from caffe2fx.errors import CaffeError
from caffe2fx.verdict.reference.calibrate import calibrate
from caffe2fx.weights.state_dict import check_fits, read_state_dict, without_prefix
from fx2caffe.cli.inputs import inputs_of
from fx2caffe.cli.program_files import from_onnx, from_program, from_script
from fx2caffe.preprocessing import Preprocessing
from fx2caffe.zoo.factory import described, from_factory
from fx2caffe.zoo.models import Made, full_inputs, timm_model, torchvision_model

SCRIPTS = (".pt", ".pth", ".ts", ".torchscript")


def model_of(arguments: argparse.Namespace, pixels: Preprocessing | None) -> Made:
    """Return the model in eval mode with its weights and inputs.

    Weights at random, of torchvision and timm, keep the signal of every feature map alive.
    """
    torch.manual_seed(arguments.seed)
    given = inputs_of(arguments.input, arguments.seed, pixels) if arguments.input else None
    made = _model_of(arguments.model, given)
    if made.inputs is None:
        raise CaffeError(f"{arguments.model} gives no inputs: needs --input, as 1x3x224x224")
    if arguments.weights is not None:
        _fill(made.model, arguments.weights)
    elif not made.own_weights:
        _calibrate(made, arguments.seed)
    return made


def _model_of(text: str, given: Any) -> Made:
    source, _, name = text.partition(":")
    suffix = Path(text).suffix.lower()
    if source == "torchvision":
        made = Made(torchvision_model(name), None)
        return replace(made, inputs=full_inputs(name) if given is None else given)
    if source == "timm":
        return _timm(name, given)
    if suffix == ".pt2":
        return from_program(Path(text), given)
    if suffix == ".onnx":
        return from_onnx(Path(text), given)
    if suffix in SCRIPTS and ":" not in text:
        return from_script(Path(text), given)
    model, own = from_factory(text)
    return Made(model.eval(), own if given is None else given, own_weights=True)


def _timm(name: str, given: Any) -> Made:
    model: Any = timm_model(name)
    sizes = tuple(model.default_cfg["input_size"])
    return Made(model, torch.randn(1, *sizes) if given is None else given)


def _calibrate(made: Made, seed: int) -> None:
    made.model.eval()
    try:
        calibrate(made.model, made.repeated(), seed=seed)
    except Exception as error:
        cause = described(error)
        raise CaffeError(f"the model does not run on these inputs: {cause}") from error


def _fill(model: nn.Module, path: Path) -> None:
    """Load a state_dict, wherever a training script has put it. Raises CaffeError if none fits."""
    wanted = model.state_dict()
    state = without_prefix(read_state_dict(path), wanted.keys())
    check_fits(path, state, wanted)
    model.load_state_dict(state, strict=False)  # but for counters, all are there
    model.eval()
