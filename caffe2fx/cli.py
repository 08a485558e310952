"""The command `caffe2fx`: load, compare, inspect, engine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table
from torch import Tensor

from caffe2fx.engines import NAMES, all_engines
from caffe2fx.engines.install.installer import install
from caffe2fx.errors import CaffeError
from caffe2fx.files.dump_readers import LAYOUTS, read_dump
from caffe2fx.messages.message import Shape
from caffe2fx.module.graph_module import CaffeGraphModule
from caffe2fx.module.loader import describe, load
from caffe2fx.net.net import Net
from caffe2fx.verdict.comparison import compare
from caffe2fx.verdict.escaping import cell, say, visible
from caffe2fx.verdict.report import Report
from caffe2fx.weights.atomic import enduring, replacing


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; errors of this project end it with status 1 and their message."""
    arguments = _parser().parse_args(argv)
    return guarded("caffe2fx", lambda: arguments.run(arguments))


def guarded(program: str, run: object) -> int:
    """Run a command; errors that a user can cause become messages instead of tracebacks."""
    try:
        return int(run())  # type: ignore[operator]
    except (CaffeError, OSError) as error:
        say(f"{program}: error: {error}", sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="caffe2fx", description="Caffe nets in PyTorch")
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_load(commands.add_parser("load", help="load a net, and save it for torch"))
    _add_compare(commands.add_parser("compare", help="compare two nets layer by layer"))
    _add_inspect(commands.add_parser("inspect", help="list layers, shapes and weights"))
    _add_engine(commands.add_parser("engine", help="list or install programs that run Caffe nets"))
    return parser


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prototxt", type=Path)
    parser.add_argument("weights", type=Path, help=".caffemodel or .caffemodel.h5")
    _add_sizes(parser)


def _add_sizes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--batch", type=int, help="another first size of every input")
    parser.add_argument(
        "--shape",
        type=_named_shape,
        action="append",
        default=[],
        metavar="BLOB=NxCxHxW",
        help="another shape of one input; may be given several times",
    )
    parser.add_argument("--dialect", help="whose Caffe the net is for, if it does not say so")


def _named_shape(text: str) -> tuple[str, Shape]:
    name, _, sizes = text.rpartition("=")
    try:
        return name, tuple(int(size) for size in sizes.split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"needs BLOB=NxCxHxW, got {text!r}") from None


def _sizes(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of load that every command on a net has."""
    shapes = dict(arguments.shape)
    return {"batch": arguments.batch, "shapes": shapes, "dialect": arguments.dialect}


def _add_state(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--phase", choices=["TEST", "TRAIN"], default="TEST")
    parser.add_argument("--level", type=int, default=0)
    parser.add_argument("--stage", nargs="+", default=[], help="stages that layers may ask for")


def _state(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the phase, level and stages that choose the layers of a net."""
    return {"phase": arguments.phase, "level": arguments.level, "stages": arguments.stage}


def _add_load(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prototxt", type=Path, help="or a .caffemodel that has the net inside")
    parser.add_argument("weights", type=Path, nargs="?", help=".caffemodel or .caffemodel.h5")
    _add_sizes(parser)
    _add_state(parser)
    parser.add_argument(
        "--no-strict", action="store_true", help="load the weights that fit, and list the others"
    )
    parser.add_argument("-o", "--output", type=Path, help=".pt2 (torch.export) or .pt (state_dict)")
    parser.add_argument("--outputs", nargs="+", metavar="BLOB", help="blobs that forward returns")
    parser.add_argument("--code", action="store_true", help="print the module's forward")
    parser.set_defaults(run=_load)


def _load(arguments: argparse.Namespace) -> int:
    module = load(
        arguments.prototxt,
        arguments.weights,
        outputs=arguments.outputs,
        strict=not arguments.no_strict,
        **_sizes(arguments),
        **_state(arguments),
    )
    if module.caffe.unmatched:
        say(module.caffe.unmatched)
    if arguments.output is not None:
        _save(module, arguments.output)
    if arguments.code:
        say(module.code)
    shapes = module.caffe.net.shapes()
    for kind in ("inputs", "outputs"):
        values = getattr(module.caffe.net, kind)
        named = ", ".join(
            f"{visible(value.blob, lines=False)} {_size(shapes[value])}" for value in values
        )
        say(f"{kind}: {named}")
    return 0


def _save(module: CaffeGraphModule, output: Path) -> None:
    if output.suffix not in (".pt", ".pt2"):
        raise CaffeError(f"--output needs a name ending in .pt2 or .pt, got {output.name!r}")
    with replacing(output) as temporary, enduring(temporary) as file:
        if output.suffix == ".pt":
            torch.save(module.state_dict(), file)
        else:
            program = torch.export.export(module, tuple(random_inputs(module.caffe.net)))
            torch.export.save(program, file)


def random_inputs(net: Net, seed: int = 0) -> list[Tensor]:
    """Return standard normal values for every input of a net."""
    generator = torch.Generator().manual_seed(seed)
    shapes = net.shapes()
    return [torch.randn(shapes[value], generator=generator) for value in net.inputs]


def _add_compare(parser: argparse.ArgumentParser) -> None:
    _add_files(parser)
    parser.add_argument("other", type=Path, nargs="*", help="a second prototxt and its weights")
    parser.add_argument("--engine", choices=NAMES, help="default: pycaffe")
    parser.add_argument("--report", type=Path, help="write the report as .html, .json or text")
    parser.add_argument(
        "--input",
        type=Path,
        action="append",
        default=[],
        help=".npy of an input, one after the other, or an .npz of all by blob name",
    )
    _add_dump(parser.add_argument_group("against a dump of feature maps"))
    parser.set_defaults(run=_compare)


def _add_dump(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--dump", type=Path, help="a folder, an .npz, .npy, .safetensors ...")
    group.add_argument("--names", type=Path, help=".tsv or .json: which array is which blob")
    group.add_argument("--layout", choices=LAYOUTS, help="of the dump's arrays, default NCHW")
    group.add_argument(
        "--threshold",
        type=_named_number,
        action="append",
        metavar="MEASURE=NUMBER",
        help="cosine, relu_cosine, sqnr (dB), l2, max_abs or error, as cosine=0.99",
    )


def _named_number(text: str) -> tuple[str, float]:
    name, _, number = text.rpartition("=")
    try:
        return name, float(number)
    except ValueError:
        raise argparse.ArgumentTypeError(f"needs MEASURE=NUMBER, got {text!r}") from None


def _compare(arguments: argparse.Namespace) -> int:
    if len(arguments.other) not in (0, 2):
        raise CaffeError(f"compare needs two files a net, got {2 + len(arguments.other)}")
    of_dumps = arguments.names or arguments.layout or arguments.threshold
    if of_dumps and arguments.dump is None:
        raise CaffeError("--names, --layout and --threshold need --dump, got none")
    report = _compare_nets(arguments) if arguments.dump is None else _compare_dump(arguments)
    if arguments.report is not None:
        report.save(arguments.report)
    say(report)
    return int(report.status.exit_code)


def _compare_nets(arguments: argparse.Namespace) -> Report:
    files = (arguments.prototxt, arguments.weights)
    module = load(*files, **_sizes(arguments))
    second = tuple(arguments.other) if arguments.other else files
    inputs = _inputs(arguments.input) or tuple(random_inputs(module.caffe.net))
    options = _sizes(arguments)
    if arguments.other:
        options["shapes"] = None  # its inputs may have other names
    return compare(module, second, inputs, engine=arguments.engine or "pycaffe", **options)


def _compare_dump(arguments: argparse.Namespace) -> Report:
    if arguments.other:
        raise CaffeError("compare needs one net beside --dump, got two")
    layout = arguments.layout or "NCHW"
    return compare(
        (arguments.prototxt, arguments.weights),
        read_dump(arguments.dump, names=arguments.names, layout=layout),
        _inputs(arguments.input) or None,
        engine=arguments.engine or "best",
        thresholds=dict(arguments.threshold) if arguments.threshold else None,
        **_sizes(arguments),
    )


def _inputs(paths: Sequence[Path]) -> Any:
    """Return the arrays of .npy files in their order, or those of an .npz by name."""
    read = [read_dump(path) for path in paths]
    if len(read) == 1 and len(read[0].maps) > 1:
        return {one.name: one.value for one in read[0].maps}
    return tuple(one.value for found in read for one in found.maps)


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prototxt", type=Path)
    parser.add_argument("weights", type=Path, nargs="?")
    _add_sizes(parser)
    _add_state(parser)
    parser.set_defaults(run=_inspect)


def _inspect(arguments: argparse.Namespace) -> int:
    options = {**_sizes(arguments), **_state(arguments)}
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
            cell(", ".join(f"{top} {_size(shapes[top])}" for top in step.tops)),
            cell(", ".join(_size(blob) for blob in blobs)),
        )
    return table


def _size(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _add_engine(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="action")
    commands.add_parser("list", help="which engines are there").set_defaults(run=_list_engines)
    installer = commands.add_parser("install", help="get real Caffe without root (Linux)")
    installer.add_argument("engine", choices=["pycaffe"])
    installer.add_argument("--mirror", help="a Debian mirror or a folder of one, asked alone")
    installer.set_defaults(run=_install_engine)


def _list_engines(_: argparse.Namespace) -> int:
    for engine in all_engines():
        missing = engine.why_missing()
        say(f"{engine.name:8} {engine.describe() if missing is None else f'missing: {missing}'}")
    return 0


def _install_engine(arguments: argparse.Namespace) -> int:
    with Progress(transient=True) as progress:
        task = progress.add_task("pycaffe", total=None)

        def advance(done: int, total: int, what: str) -> None:
            progress.update(task, completed=done, total=total, description=escape(what))

        install(mirror=arguments.mirror, progress=advance)
    return _list_engines(arguments)
