"""`fx2caffe export` and `fx2caffe check`: from a model that the command line names to files."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from caffe2fx.cli.output import Output
from caffe2fx.errors import CaffeError
from fx2caffe.cli.sources import model_of
from fx2caffe.cli.targets_command import named_target
from fx2caffe.errors import UnsupportedError
from fx2caffe.exporter.exporter import check, export
from fx2caffe.exporter.result import Export
from fx2caffe.preprocessing import Preprocessing
from fx2caffe.targets.command import Feed, feed


def export_model(arguments: argparse.Namespace, output: Output) -> int:
    """Run `fx2caffe export`."""
    if arguments.report is not None and arguments.verify is None:
        raise CaffeError("--report needs --verify, got a report without a comparison")
    options, started = _options(arguments), monotonic()
    with output.progress(), _reported(arguments):
        made = model_of(arguments, _preprocessing(arguments))
        exported = export(made.model, made.inputs, **options)
        _save(exported, arguments, output)
    output.note(f"{len(exported.net.steps)} layers, {monotonic() - started:.1f} s")
    for one in exported.unverified:
        output.result(f"NOT VERIFIED, a placeholder: {one}")
    for fault in exported.batch_faults:
        output.result(f"the batch is fixed: {fault}")
    status = 0 if arguments.verify is None else _verify(exported, arguments, output)
    for line in _next(exported, arguments):
        output.note(line)
    return status


@contextmanager
def _reported(arguments: argparse.Namespace) -> Iterator[None]:
    """Write the report that was asked for of a model that is refused in this block too."""
    try:
        yield
    except UnsupportedError as error:
        if arguments.report is not None:
            error.save(arguments.report)
        raise


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of export that the command line names."""
    return {
        "target": named_target(arguments.target),
        "fold_batchnorm": not arguments.no_fold_batchnorm,
        "input_names": arguments.input_names,
        "outputs": arguments.outputs,
        "preprocessing": None if arguments.caller_preprocesses else _preprocessing(arguments),
        "name_limit": arguments.name_limit,
        "name_alphabet": arguments.name_alphabet,
        "on_unsupported": arguments.on_unsupported,
        "input_ranges": dict(arguments.input_ranges or ()),
    }


def _preprocessing(arguments: argparse.Namespace) -> Preprocessing | None:
    given = {name: getattr(arguments, name) for name in ("mean", "std", "scale", "channel_order")}
    named = {name: value for name, value in given.items() if value is not None}
    return Preprocessing(**named) if named else None


def _save(exported: Export, arguments: argparse.Namespace, output: Output) -> None:
    arguments.output.mkdir(parents=True, exist_ok=True)
    prototxt, weights = _files(arguments)
    exported.save(prototxt, weights)
    output.note(f"{prototxt} {_size(prototxt)}\n{weights} {_size(weights)}")
    if arguments.map is not None:
        exported.save_map(arguments.map)


def _size(path: Path) -> str:
    size = path.stat().st_size
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def _next(exported: Export, arguments: argparse.Namespace) -> Iterator[str]:
    """Yield a command that shows or compares the files, and those of the target's programs."""
    files, feeds = _files(arguments), _feeds(exported, arguments)
    engine = [] if arguments.verify else ["--engine", exported.target.judges[0]]
    command = ["caffe2fx", "compare" if engine else "inspect", *map(str, files), *engine]
    yield f"next: {shlex.join(command)}"
    for one in exported.target.commands:
        yield f"next, {one.program}: {one.why_not(feeds) or one.text(*files, feeds)}"


def _feeds(exported: Export, arguments: argparse.Namespace) -> list[Feed]:
    """Return the net's inputs; with --caller-preprocesses the arithmetic is due to the program."""
    shapes, by_caller = exported.net.shapes(), arguments.caller_preprocesses
    due = _preprocessing(arguments) if by_caller else None
    return [
        feed(
            value.blob,
            shapes[value],
            due if by_caller else exported.preprocessing.get(value.blob),
            by_caller=by_caller,
        )
        for value in exported.net.inputs
    ]


def _files(arguments: argparse.Namespace) -> tuple[Path, Path]:
    name = arguments.name or _name(arguments.model)
    return arguments.output / f"{name}.prototxt", arguments.output / f"{name}.caffemodel"


def _name(model: str) -> str:
    """Return the name of the files: the model's, the factory's, or the file's."""
    return model.rpartition(":")[2].replace("/", "-") if ":" in model else Path(model).stem


def _verify(exported: Export, arguments: argparse.Namespace, output: Output) -> int:
    with output.progress():
        report = exported.verify(arguments.verify)
    if arguments.report is not None:
        report.save(arguments.report)
    if report.ok and not output.verbose:
        output.result(report.summary())
    else:
        output.report(report)
    return int(report.status.exit_code)


def check_model(arguments: argparse.Namespace, output: Output) -> int:
    """Run `fx2caffe check`."""
    target = named_target(arguments.target)
    with output.progress():
        made = model_of(arguments, None)
        refusals = check(made.model, made.inputs, target=target)
    if arguments.report is not None:
        refusals.save(arguments.report)
    for refusal in refusals:
        output.result(refusal)
    output.result(f"{len(refusals)} refusals for target {target.name}")
    return 1 if refusals else 0
