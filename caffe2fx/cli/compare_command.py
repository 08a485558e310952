"""`caffe2fx compare`: two nets, a net in two engines, or a net and a dump, layer by layer."""

from __future__ import annotations

import argparse

from caffe2fx.cli.inputs import random_inputs, sizes, stored_inputs
from caffe2fx.cli.output import Output
from caffe2fx.errors import CaffeError
from caffe2fx.files.dump_readers import read_dump
from caffe2fx.module.loader import load
from caffe2fx.verdict.comparison import compare
from caffe2fx.verdict.result.report import Report


def compare_nets(arguments: argparse.Namespace, output: Output) -> int:
    """Run the command."""
    if len(arguments.other) not in (0, 2):
        raise CaffeError(f"compare needs two files a net, got {2 + len(arguments.other)}")
    of_dumps = arguments.names or arguments.layout or arguments.threshold
    if of_dumps and arguments.dump is None:
        raise CaffeError("--names, --layout and --threshold need --dump, got none")
    compared = _compare if arguments.dump is None else _compare_dump
    with output.progress():
        report = compared(arguments)
    if arguments.report is not None:
        report.save(arguments.report)
    output.report(report)
    return int(report.status.exit_code)


def _compare(arguments: argparse.Namespace) -> Report:
    files = (arguments.prototxt, arguments.weights)
    module = load(*files, **sizes(arguments))
    second = tuple(arguments.other) if arguments.other else files
    inputs = stored_inputs(arguments.input) or tuple(random_inputs(module.caffe.net))
    options = sizes(arguments)
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
        stored_inputs(arguments.input) or None,
        engine=arguments.engine or "best",
        thresholds=dict(arguments.threshold) if arguments.threshold else None,
        **sizes(arguments),
    )
