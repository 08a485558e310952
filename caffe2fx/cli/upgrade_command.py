"""`caffe2fx upgrade`: a net of any age as today's text and weights, without a Caffe."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from caffe2fx.cli.output import Output
from caffe2fx.errors import CaffeError, CaffeFileError
from caffe2fx.files import prototxt as text
from caffe2fx.files.todays_text import todays_text
from caffe2fx.module.loader import read_net, read_weights
from caffe2fx.module.save import save, write_layers
from caffe2fx.net.net import Net
from caffe2fx.weights.atomic import file_errors, replacing_all
from caffe2fx.weights.caffemodel import LayerWeights
from caffe2fx.weights.pairing import comment, identifier_of


def upgrade_net(arguments: argparse.Namespace, output: Output) -> int:
    """Run the command."""
    prototxt = _with_suffix(arguments.output, ".prototxt")
    files = [prototxt]
    with output.progress():
        if arguments.prototxt.suffix in (".caffemodel", ".binaryproto"):
            files.append(_both(arguments, prototxt))
        else:
            files += _rewritten(arguments, prototxt)
    output.note("\n".join(map(str, files)))
    return 0


def _with_suffix(output: Path, suffix: str) -> Path:
    return output if output.suffix == suffix else output.with_name(output.name + suffix)


def _both(arguments: argparse.Namespace, prototxt: Path) -> Path:
    """Write both files of a .caffemodel that has the net inside; return the weights."""
    if arguments.weights is not None:
        raise CaffeError(f"upgrade needs a prototxt beside weights, got {arguments.prototxt}")
    weights = prototxt.with_suffix(".caffemodel")
    save(read_net(arguments.prototxt, None), prototxt, weights)
    return weights


def _rewritten(arguments: argparse.Namespace, prototxt: Path) -> list[Path]:
    """Write the text and, where there are weights, those; return the weights' path."""
    with file_errors():
        new = todays_text(arguments.prototxt)
    targets, identifier = [prototxt], ""
    layers: tuple[LayerWeights, ...] = ()
    net = text.parse(new, source=str(arguments.prototxt))  # so that nothing is written that fails
    if arguments.weights is not None:
        suffix = ".caffemodel.h5" if arguments.weights.suffix == ".h5" else ".caffemodel"
        targets.insert(0, prototxt.with_name(prototxt.stem + suffix))
        layers, identifier = _todays(arguments), identifier_of(new)
    _refuse_same(targets, [arguments.prototxt, arguments.weights])
    with file_errors(), replacing_all(targets) as paths:
        if layers:
            write_layers(paths[0], str(targets[0]), net.name, layers, identifier)
        head = comment(identifier) if identifier else ""
        paths[-1].write_text(head + new, encoding="utf-8")
    return targets[:-1]


def _refuse_same(targets: list[Path], sources: list[Path | None]) -> None:
    """Raise for an output that is an input: the old file would be lost."""
    for target in targets:
        for source in sources:
            if source is not None and target.exists() and target.samefile(source):
                raise CaffeFileError(f"--output needs another name than the old file, got {target}")


def _todays(arguments: argparse.Namespace) -> tuple[LayerWeights, ...]:
    """Return the weights with today's shapes; layers of other phases keep the file's weights."""
    with file_errors():
        entries = read_weights(arguments.weights)
    net = read_net(arguments.prototxt, arguments.weights)
    known = {step.name: step.blobs for step in net.steps if step.blobs}
    types = _types(net)
    return tuple(
        replace(
            entry,
            type=types.get(entry.name, entry.type),
            blobs=known.get(entry.name, entry.blobs),
            legacy=frozenset(),
        )
        for entry in entries
    )


def _types(net: Net) -> dict[str, str]:
    """Return today's words for the types: those of the file are of its own age."""
    return {step.name: step.layer.type for step in net.steps}
