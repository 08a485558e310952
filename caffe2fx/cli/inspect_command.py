"""`caffe2fx inspect`: layers, shapes and weights of a net in a table."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from caffe2fx.cli.inputs import size, sizes, state
from caffe2fx.cli.output import Output
from caffe2fx.errors import CaffeError
from caffe2fx.module.loader import describe
from caffe2fx.net.drawing import svg_of
from caffe2fx.net.net import Net
from caffe2fx.net.totals import multiply_adds, totals
from caffe2fx.report.escaping import cell
from caffe2fx.weights.atomic import file_errors, replacing


def inspect_net(arguments: argparse.Namespace, output: Output) -> int:
    """Run the command."""
    with output.progress():
        options = {**sizes(arguments), **state(arguments)}
        net = describe(arguments.prototxt, arguments.weights, **options)
    console = Console()
    # A pipe gets whole lines; a terminal gets a table that fits it.
    wide = console if console.is_terminal else Console(width=1000)
    wide.print(layer_table(net))
    output.result(totals(net))
    if arguments.draw is not None:
        _draw(net, arguments.draw)
    return 0


def _draw(net: Net, path: Path) -> None:
    if path.suffix.lower() != ".svg":
        raise CaffeError(f"--draw needs a name ending in .svg, got {path.name!r}")
    with file_errors(), replacing(path) as temporary:
        temporary.write_text(svg_of(net), encoding="utf-8")


def layer_table(net: Net) -> Table:
    """Return a table of layers with their parameters, bottoms, top shapes and weights."""
    table = Table(box=None)
    for title in ("layer", "parameters", "bottoms", "tops", "weights", "multiply-adds"):
        table.add_column(title, overflow="fold")  # names are never cut
    shapes = net.shapes()
    for step in net.steps:
        reads = [shapes[bottom] for bottom in step.bottoms]
        blobs = step.layer.blob_shapes(reads)
        work = multiply_adds(step.layer, reads, [shapes[top] for top in step.tops])
        table.add_row(
            cell(step.name),
            cell(step.layer),
            cell(", ".join(map(str, step.bottoms))),
            cell(", ".join(f"{top} {size(shapes[top])}" for top in step.tops)),
            cell(", ".join(size(blob) for blob in blobs)),
            cell(f"{work:,}" if work else ""),
        )
    return table
