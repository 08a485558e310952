"""`caffe2fx inspect`: layers, shapes and weights of a net in a table."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.table import Table

from caffe2fx.cli.inputs import size, sizes, state
from caffe2fx.cli.output import Output
from caffe2fx.module.loader import describe
from caffe2fx.net.net import Net
from caffe2fx.verdict.escaping import cell


def inspect_net(arguments: argparse.Namespace, output: Output) -> int:
    """Run the command."""
    with output.progress():
        options = {**sizes(arguments), **state(arguments)}
        net = describe(arguments.prototxt, arguments.weights, **options)
    console = Console()
    # A pipe gets whole lines; a terminal gets a table that fits it.
    wide = console if console.is_terminal else Console(width=1000)
    wide.print(layer_table(net))
    return 0


def layer_table(net: Net) -> Table:
    """Return a table of layers with their parameters, bottoms, top shapes and weights."""
    table = Table("layer", "parameters", "bottoms", "tops", "weights", box=None)
    shapes = net.shapes()
    for step in net.steps:
        blobs = step.layer.blob_shapes([shapes[bottom] for bottom in step.bottoms])
        table.add_row(
            cell(step.name),
            cell(step.layer),
            cell(", ".join(map(str, step.bottoms))),
            cell(", ".join(f"{top} {size(shapes[top])}" for top in step.tops)),
            cell(", ".join(size(blob) for blob in blobs)),
        )
    return table
