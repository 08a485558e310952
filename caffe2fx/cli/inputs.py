"""Options of load, and inputs, that the commands on a net share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from caffe2fx.files.dump_readers import read_dump
from caffe2fx.messages.message import Shape
from caffe2fx.net.net import Net


def sizes(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of load that every command on a net has."""
    shapes = dict(arguments.shape)
    return {"batch": arguments.batch, "shapes": shapes, "dialect": arguments.dialect}


def state(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the phase, level and stages that choose the layers of a net."""
    return {"phase": arguments.phase, "level": arguments.level, "stages": arguments.stage}


def random_inputs(net: Net, seed: int = 0) -> list[Tensor]:
    """Return standard normal values for every input of a net."""
    generator = torch.Generator().manual_seed(seed)
    shapes = net.shapes()
    return [torch.randn(shapes[value], generator=generator) for value in net.inputs]


def stored_inputs(paths: Sequence[Path]) -> Any:
    """Return the arrays of .npy files in their order, or those of an .npz by name."""
    read = [read_dump(path) for path in paths]
    if len(read) == 1 and len(read[0].maps) > 1:
        return {one.name: one.value for one in read[0].maps}
    return tuple(one.value for found in read for one in found.maps)


def size(shape: Shape) -> str:
    """Return a shape as text, "1x3x8x8"."""
    return "x".join(map(str, shape)) or "scalar"
