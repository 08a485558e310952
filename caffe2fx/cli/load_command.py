"""`caffe2fx load`: load a net, describe it, and save it for torch."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from caffe2fx.cli.inputs import random_inputs, size, sizes, state
from caffe2fx.cli.output import Output
from caffe2fx.errors import CaffeError
from caffe2fx.module.graph_module import CaffeGraphModule
from caffe2fx.module.loader import load
from caffe2fx.report.text import visible
from caffe2fx.weights.atomic import enduring, replacing


def load_net(arguments: argparse.Namespace, output: Output) -> int:
    """Run the command."""
    _check_suffix(arguments.output)
    with output.progress():
        module = load(
            arguments.prototxt,
            arguments.weights,
            outputs=arguments.outputs,
            strict=not arguments.no_strict,
            reshape_weights=arguments.reshape_weights,
            **sizes(arguments),
            **state(arguments),
        )
    if module.caffe.unmatched:
        output.result(module.caffe.unmatched)
    if arguments.output is not None:
        _save(module, arguments.output)
    if arguments.code:
        output.result(module.code)
    shapes = module.caffe.net.shapes()
    for kind in ("inputs", "outputs"):
        values = getattr(module.caffe.net, kind)
        named = ", ".join(
            f"{visible(value.blob, lines=False)} {size(shapes[value])}" for value in values
        )
        output.result(f"{kind}: {named}")
    return 0


def _check_suffix(output: Path | None) -> None:
    if output is not None and output.suffix not in (".pt", ".pt2"):
        raise CaffeError(f"--output needs a name ending in .pt2 or .pt, got {output.name!r}")


def _save(module: CaffeGraphModule, output: Path) -> None:
    with replacing(output) as temporary, enduring(temporary) as file:
        if output.suffix == ".pt":
            torch.save(module.state_dict(), file)
        else:
            program = torch.export.export(module, tuple(random_inputs(module.caffe.net)))
            torch.export.save(program, file)
