"""The arguments of the command `caffe2fx`; nothing here imports torch."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from caffe2fx.cli.program import command, program
from caffe2fx.engines import NAMES
from caffe2fx.files.layouts import LAYOUTS

WEIGHTS = ".caffemodel or .caffemodel.h5"


def parser() -> argparse.ArgumentParser:
    """Return the parser of `caffe2fx`."""
    made = program("caffe2fx", "Caffe nets in PyTorch", ["inspect net.prototxt net.caffemodel"])
    commands = made.add_subparsers(required=True, metavar="command")
    _add_load(commands)
    _add_compare(commands)
    _add_inspect(commands)
    _add_upgrade(commands)
    _add_weights(commands)
    _add_engine(commands)
    return made


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prototxt", type=Path, help="the text of the net")
    parser.add_argument("weights", type=Path, help=WEIGHTS)
    _add_sizes(parser)


def _add_net(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prototxt", type=Path, help="or a .caffemodel that has the net inside")
    parser.add_argument("weights", type=Path, nargs="?", help=WEIGHTS)


def _add_sizes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--batch", type=positive, help="another first size of every input")
    parser.add_argument(
        "--shape",
        type=named_shape,
        action="append",
        default=[],
        metavar="BLOB=NxCxHxW",
        help="another shape of one input; may be given several times",
    )
    parser.add_argument("--dialect", help="whose Caffe the net is for, if it does not say so")


def _add_state(parser: argparse.ArgumentParser) -> None:
    choices = ["TEST", "TRAIN"]
    phase = "default: TEST, or the one in which a .caffemodel was saved"
    parser.add_argument("--phase", choices=choices, help=phase)
    parser.add_argument("--level", type=int, default=0, help="that layers may ask for (default: 0)")
    parser.add_argument("--stage", nargs="+", default=[], help="stages that layers may ask for")


def _add_load(commands: Any) -> None:
    parser = command(
        commands,
        "load",
        "caffe2fx.cli.load_command:load_net",
        "load a net, and save it for torch",
        ["load net.prototxt net.caffemodel -o net.pt2", "load net.caffemodel --code"],
    )
    _add_net(parser)
    _add_sizes(parser)
    _add_state(parser)
    parser.add_argument(
        "--no-strict", action="store_true", help="load the weights that fit, and list the others"
    )
    reshape = "give weights of as many elements as the net's, and another shape, the net's shape"
    parser.add_argument("--reshape-weights", action="store_true", help=reshape)
    parser.add_argument("-o", "--output", type=Path, help=".pt2 (torch.export) or .pt (state_dict)")
    parser.add_argument("--outputs", nargs="+", metavar="BLOB", help="blobs that forward returns")
    parser.add_argument("--code", action="store_true", help="print the module's forward")


def _add_compare(commands: Any) -> None:
    parser = command(
        commands,
        "compare",
        "caffe2fx.cli.compare_command:compare_nets",
        "compare two nets layer by layer, a net in two engines, or a net with a dump",
        [
            "compare net.prototxt net.caffemodel --engine pycaffe",
            "compare a.prototxt a.caffemodel b.prototxt b.caffemodel --engine torch",
            "compare net.prototxt net.caffemodel --dump maps.npz --threshold sqnr=30",
        ],
    )
    _add_files(parser)
    parser.add_argument("other", type=Path, nargs="*", help="a second prototxt and its weights")
    parser.add_argument("--engine", choices=NAMES, help="default: pycaffe")
    add_report(parser)
    parser.add_argument(
        "--input",
        type=Path,
        action="append",
        default=[],
        help=".npy of an input, one after the other, or an .npz of all by blob name",
    )
    _add_dump(parser.add_argument_group("against a dump of feature maps"))


def add_report(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the file of a report."""
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="write the report: .html, .json (everything), .csv, .xml (JUnit) or text",
    )


def _add_dump(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--dump", type=Path, help="a folder, an .npz, .npy, .safetensors ...")
    group.add_argument("--names", type=Path, help=".tsv or .json: which array is which blob")
    group.add_argument("--layout", choices=LAYOUTS, help="of the dump's arrays, default NCHW")
    group.add_argument(
        "--threshold",
        type=named_float,
        action="append",
        metavar="MEASURE=NUMBER",
        help="cosine, relu_cosine, sqnr (dB), l2, max_abs or error, as cosine=0.99",
    )


def _add_inspect(commands: Any) -> None:
    parser = command(
        commands,
        "inspect",
        "caffe2fx.cli.inspect_command:inspect_net",
        "list layers, shapes and weights",
        ["inspect net.prototxt net.caffemodel", "inspect train_val.prototxt --phase TRAIN"],
    )
    _add_net(parser)
    _add_sizes(parser)
    _add_state(parser)
    parser.add_argument("--draw", type=Path, metavar="NET.svg", help="draw the net into this file")


def _add_upgrade(commands: Any) -> None:
    parser = command(
        commands,
        "upgrade",
        "caffe2fx.cli.upgrade_command:upgrade_net",
        "rewrite a net of any age as today's text and weights",
        ["upgrade old.prototxt old.caffemodel -o new", "upgrade old.prototxt -o new.prototxt"],
    )
    _add_net(parser)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="NAME", help="of the new files"
    )


def _add_weights(commands: Any) -> None:
    parser = command(
        commands,
        "weights",
        "caffe2fx.cli.weights_command:fill_net",
        "put a torch model's weights into a prototxt that is there",
        ["weights net.prototxt model.pth", "weights net.prototxt model.pth --match order"],
    )
    parser.add_argument("prototxt", type=Path, help="the text of the net, which stays as it is")
    parser.add_argument("state", type=Path, help="a state_dict or checkpoint, or .safetensors")
    parser.add_argument(
        "--match",
        choices=["name", "order"],
        default="name",
        help="layers take modules of their name (default), or one after the other",
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="default: the prototxt's, .caffemodel"
    )


def _add_engine(commands: Any) -> None:
    about = "list or install programs that run Caffe nets"
    engine = commands.add_parser("engine", help=about, description=about)
    actions = engine.add_subparsers(required=True, metavar="action")
    command(
        actions,
        "list",
        "caffe2fx.cli.engine_command:list_engines",
        "list the engines and whether each is installed",
        ["list"],
    )
    installer = command(
        actions,
        "install",
        "caffe2fx.cli.engine_command:install_engine",
        "get real Caffe without root (Linux)",
        ["install pycaffe", "install pycaffe --mirror https://deb.example.org/debian"],
    )
    installer.add_argument("engine", choices=["pycaffe"], help="the engine to install")
    installer.add_argument("--mirror", help="a Debian mirror or a folder of one, asked alone")


def positive(text: str) -> int:
    """Parse a whole number of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"needs a whole number of 1 or more, got {text!r}")
    return int(text)


def positive_float(text: str) -> float:
    """Parse a float above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise argparse.ArgumentTypeError(f"needs a number above 0, got {text!r}")
    return value


def shape(text: str) -> tuple[int, ...]:
    """Parse "1x3x224x224"."""
    sizes = text.split("x")
    if not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise argparse.ArgumentTypeError(f"needs positive sizes joined by x, got {text!r}")
    return tuple(int(size) for size in sizes)


def named_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """Parse "data=1x3x224x224" to a name and a shape."""
    name, equals, sizes = text.rpartition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"needs BLOB=NxCxHxW, got {text!r}")
    return name, shape(sizes)


def named_float(text: str) -> tuple[str, float]:
    """Parse "cosine=0.99" to a name and a float."""
    name, _, value = text.rpartition("=")
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"needs MEASURE=NUMBER, got {text!r}") from None
