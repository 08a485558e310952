"""The arguments of the command `fx2caffe`; nothing here imports torch."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from caffe2fx.cli.arguments import add_report
from caffe2fx.cli.program import command, program
from caffe2fx.engines import NAMES
from fx2caffe.cli.input_spec import FORMS, input_spec
from fx2caffe.zoo.arguments import configure

MODEL = (
    "torchvision:NAME, timm:NAME, PACKAGE.MODULE:FACTORY, a .pt2 of torch.export, "
    "TorchScript, or an .onnx (extra: fx2caffe[onnx])"
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of `fx2caffe`."""
    made = program(
        "fx2caffe",
        "PyTorch models to Caffe nets",
        ["export torchvision:resnet18 --input 1x3x224x224 -o out/ --verify"],
    )
    commands = made.add_subparsers(required=True, metavar="command")
    _add_export(commands)
    _add_check(commands)
    _add_targets(commands)
    configure(commands)
    return made


def _add_export(commands: Any) -> None:
    parser = command(
        commands,
        "export",
        "fx2caffe.cli.export_command:export_model",
        "write prototxt and caffemodel of a model",
        [
            "export torchvision:resnet18 --input 1x3x224x224 -o out/ --verify",
            "export my_package.models:build_net --weights net.pth --input 1x3x64x64",
            "export my_package.models:build_net --input ids=1x16@0:30521 --input mask=mask.npy",
            "export net.pt2 --target nnie",
            "export timm:resnet18 --input photo.jpg@224x224 --mean 124 116 104 --std 58",
        ],
    )
    _add_model(parser)
    parser.add_argument(
        "-o", "--output", type=Path, default=Path(), metavar="FOLDER", help="default: ."
    )
    parser.add_argument("--name", help="name of the files (default: the model's)")
    _add_net(parser.add_argument_group("the net"))
    _add_preprocessing(parser.add_argument_group("raw pixels: (pixels * scale - mean) / std"))
    parser.add_argument(
        "--verify",
        nargs="?",
        const="best",
        choices=["best", *NAMES],
        help="compare every feature map; without a name in real Caffe if it is there",
    )
    add_report(parser)


def _add_net(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--no-fold-batchnorm", action="store_true", help="keep BatchNorm and Scale as layers"
    )
    group.add_argument("--input-names", nargs="+", metavar="BLOB", help="of the inputs, in order")
    group.add_argument("--outputs", nargs="+", metavar="MODULE", help="cut the net there")
    group.add_argument("--map", type=Path, help="write module, layer, blob (.json or .tsv)")
    group.add_argument("--name-limit", type=int, metavar="N", help="characters in a name")
    group.add_argument("--name-alphabet", metavar="[A-Za-z0-9_]", help="one character of a name")
    group.add_argument(
        "--input-ranges",
        nargs="+",
        type=named_range,
        metavar="BLOB=LOW:HIGH",
        help="what an input holds, to know whether integers stay within 2^24",
    )
    group.add_argument(
        "--on-unsupported",
        choices=["refuse", "custom"],
        default="refuse",
        help="custom: write the target's placeholder for what it lacks, which nothing verifies",
    )


def _add_preprocessing(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--mean", nargs="+", type=float, help="one number, or one a channel")
    group.add_argument("--std", nargs="+", type=float, help="one number, or one a channel")
    group.add_argument("--scale", type=float, help="factor of the pixels, before the mean")
    group.add_argument("--channel-order", choices=["RGB", "BGR"], help="what the caller feeds")
    group.add_argument(
        "--caller-preprocesses",
        action="store_true",
        help="the net takes what the model takes; images of --input go through the arithmetic",
    )


def _add_check(commands: Any) -> None:
    parser = command(
        commands,
        "check",
        "fx2caffe.cli.export_command:check_model",
        "list what could not be exported; write nothing",
        ["check my_package.models:build_net --input 1x3x64x64 --target nnie"],
    )
    _add_model(parser)
    add_report(parser)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help=MODEL)
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        type=input_spec,
        metavar="[NAME=]INPUT",
        help=f"an input, once for each: {FORMS} (default: the source's own)",
    )
    parser.add_argument(
        "--weights", type=Path, help="a state_dict or checkpoint of torch.save, or .safetensors"
    )
    parser.add_argument(
        "--target",
        default="bvlc",
        metavar="TARGET",
        help="a name that `fx2caffe targets` lists, or your Caffe's caffe.proto (default: bvlc)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of random weights and inputs")


def named_range(text: str) -> tuple[str, tuple[float, float]]:
    """Parse "ids=0:30521" to a name and a range."""
    name, _, values = text.rpartition("=")
    low, _, high = values.partition(":")
    try:
        return name, (float(low), float(high))
    except ValueError:
        raise argparse.ArgumentTypeError(f"needs BLOB=LOW:HIGH, got {text!r}") from None


def _add_targets(commands: Any) -> None:
    parser = command(
        commands,
        "targets",
        "fx2caffe.cli.targets_command:list_targets",
        "list the programs that nets can be made for",
        ["targets", "targets nnie"],
    )
    parser.add_argument("name", nargs="?", metavar="TARGET", help="show this one in full")
