"""The command `fx2caffe`: export, check, targets and zoo."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from caffe2fx.cli import guarded
from caffe2fx.engines import NAMES
from caffe2fx.errors import CaffeError
from caffe2fx.verdict.escaping import say
from fx2caffe.exporter.exporter import check, export
from fx2caffe.preprocessing import Preprocessing
from fx2caffe.targets import TARGETS, Target, find_target
from fx2caffe.targets.table import page, table
from fx2caffe.zoo.command import configure
from fx2caffe.zoo.models import from_factory, torchvision_model


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; errors of this project end it with status 1 and their message."""
    arguments = _parser().parse_args(argv)
    return guarded("fx2caffe", lambda: arguments.run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fx2caffe", description="PyTorch models to Caffe nets")
    commands = parser.add_subparsers(required=True, metavar="command")
    exporter = commands.add_parser("export", help="write prototxt and caffemodel")
    _add_model(exporter)
    exporter.add_argument("-o", "--output", type=Path, default=Path(), help="folder (default: .)")
    exporter.add_argument("--name", help="name of the files (default: the model's)")
    exporter.add_argument("--no-fold-batchnorm", action="store_true")
    exporter.add_argument("--input-names", nargs="+", metavar="BLOB")
    exporter.add_argument("--outputs", nargs="+", metavar="MODULE", help="cut the net there")
    exporter.add_argument("--map", type=Path, help="write module, layer, blob (.json or .tsv)")
    exporter.add_argument("--name-limit", type=int, metavar="N", help="characters in a name")
    exporter.add_argument("--name-alphabet", metavar="[A-Za-z0-9_]")
    exporter.add_argument(
        "--input-ranges",
        nargs="+",
        type=_range,
        metavar="BLOB=LOW:HIGH",
        help="what an input holds, to know whether integers stay within 2^24",
    )
    exporter.add_argument(
        "--on-unsupported",
        choices=["refuse", "custom"],
        default="refuse",
        help="custom: write the target's placeholder for what it lacks, which nothing verifies",
    )
    _add_preprocessing(exporter.add_argument_group("raw pixels: (pixels * scale - mean) / std"))
    exporter.add_argument(
        "--verify",
        nargs="?",
        const="best",
        choices=["best", *NAMES],
        help="compare every feature map; without a name in real Caffe if it is there",
    )
    exporter.add_argument("--report", type=Path, help="write the report (.html, .json or text)")
    exporter.set_defaults(run=_export)
    checker = commands.add_parser("check", help="list what could not be exported; write nothing")
    _add_model(checker)
    checker.set_defaults(run=_check)
    lister = commands.add_parser("targets", help="list the programs that nets can be made for")
    lister.add_argument("name", nargs="?", metavar="TARGET", help="show this one in full")
    lister.set_defaults(run=_targets)
    configure(commands.add_parser("zoo", help="export and verify many models, each in one row"))
    return parser


def _add_preprocessing(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--mean", nargs="+", type=float, help="one number, or one a channel")
    group.add_argument("--std", nargs="+", type=float)
    group.add_argument("--scale", type=float)
    group.add_argument("--channel-order", choices=["RGB", "BGR"], help="what the caller feeds")


def _preprocessing(arguments: argparse.Namespace) -> Preprocessing | None:
    given = {name: getattr(arguments, name) for name in ("mean", "std", "scale", "channel_order")}
    named = {name: value for name, value in given.items() if value is not None}
    return Preprocessing(**named) if named else None


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="torchvision:NAME, or PACKAGE.MODULE:FACTORY")
    parser.add_argument(
        "--input",
        action="append",
        required=True,
        metavar="1x3x224x224",
        help="shape of an input, once for each",
    )
    parser.add_argument("--weights", type=Path, help="a state_dict saved by torch.save")
    parser.add_argument(
        "--target",
        type=_target,
        default="bvlc",
        metavar="TARGET",
        help="a name that `fx2caffe targets` lists, or your Caffe's caffe.proto (default: bvlc)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of random weights and inputs")


def _range(text: str) -> tuple[str, tuple[float, float]]:
    """Parse "ids=0:30521" to a name and a range."""
    name, _, numbers = text.rpartition("=")
    low, _, high = numbers.partition(":")
    return name, (float(low), float(high))


def _export(arguments: argparse.Namespace) -> int:
    model, inputs = _model(arguments), _inputs(arguments)
    exported = export(
        model,
        inputs,
        target=arguments.target,
        fold_batchnorm=not arguments.no_fold_batchnorm,
        input_names=arguments.input_names,
        outputs=arguments.outputs,
        preprocessing=_preprocessing(arguments),
        name_limit=arguments.name_limit,
        name_alphabet=arguments.name_alphabet,
        on_unsupported=arguments.on_unsupported,
        input_ranges=dict(arguments.input_ranges or ()),
    )
    arguments.output.mkdir(parents=True, exist_ok=True)
    name = arguments.name or arguments.model.rpartition(":")[2]
    prototxt, weights = (arguments.output / f"{name}.{end}" for end in ("prototxt", "caffemodel"))
    exported.save(prototxt, weights)
    say(f"{prototxt}\n{weights}")
    if arguments.map is not None:
        exported.save_map(arguments.map)
    for one in exported.unverified:
        say(f"NOT VERIFIED, a placeholder: {one}")
    for fault in exported.batch_faults:
        say(f"the batch is fixed: {fault}")
    return 0 if arguments.verify is None else _verify(exported, arguments)


def _verify(exported: Any, arguments: argparse.Namespace) -> int:
    report = exported.verify(arguments.verify)
    if arguments.report is not None:
        report.save(arguments.report)
    say(report.summary() if report.ok else report)
    return int(report.status.exit_code)


def _check(arguments: argparse.Namespace) -> int:
    refusals = check(_model(arguments), _inputs(arguments), target=arguments.target)
    for refusal in refusals:
        say(refusal)
    say(f"{len(refusals)} refusals for target {arguments.target.name}")
    return 1 if refusals else 0


def _targets(arguments: argparse.Namespace) -> int:
    say(table(TARGETS.values()) if arguments.name is None else page(find_target(arguments.name)))
    return 0


def _target(text: str) -> Target:
    """Return the target that the command line names."""
    try:
        return (
            Target.from_proto(text, Path(text).stem)
            if text.endswith(".proto")
            else find_target(text)
        )
    except (CaffeError, OSError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _inputs(arguments: argparse.Namespace) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(arguments.seed)
    return tuple(torch.randn(_shape(text), generator=generator) for text in arguments.input)


def _shape(text: str) -> tuple[int, ...]:
    sizes = text.split("x")
    if not all(size.isdigit() and int(size) > 0 for size in sizes):
        raise CaffeError(f"--input needs positive sizes joined by x, got {text!r}")
    return tuple(int(size) for size in sizes)


def _model(arguments: argparse.Namespace) -> nn.Module:
    torch.manual_seed(arguments.seed)
    source, _, name = arguments.model.partition(":")
    if source == "torchvision":
        model = torchvision_model(name)
    else:
        model, _ = from_factory(arguments.model)
    if arguments.weights is not None:
        model.load_state_dict(torch.load(arguments.weights, map_location="cpu", weights_only=True))
    return model.eval()
