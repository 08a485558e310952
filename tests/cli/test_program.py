"""Both commands share help, versions, quiet output, log files, and the form of errors."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest

from caffe2fx.cli.arguments import parser as caffe2fx_parser
from fx2caffe.cli.arguments import parser as fx2caffe_parser

PARSERS = {"caffe2fx": caffe2fx_parser, "fx2caffe": fx2caffe_parser}


def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Return the parser and those of its commands, which are nested."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from commands(inner)


EVERY = [pytest.param(one, id=one.prog) for make in PARSERS.values() for one in commands(make())]


@pytest.mark.parametrize("parser", EVERY)
def test_every_option_has_help(parser: argparse.ArgumentParser) -> None:
    parser.format_help()  # a % in a help would raise
    silent = [
        action.dest
        for action in parser._actions
        if not action.help and not isinstance(action, argparse._SubParsersAction)
    ]
    assert not silent


EXAMPLES = [
    line.strip()
    for make in PARSERS.values()
    for one in commands(make())
    for line in (one.epilog or "").splitlines()[1:]
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_understood(example: str) -> None:
    program, *arguments = shlex.split(example)
    assert PARSERS[program]().parse_args(arguments).run


@pytest.mark.parametrize("parser", EVERY)
def test_every_command_has_an_example(parser: argparse.ArgumentParser) -> None:
    if parser.get_default("run") is not None:
        assert any(line.startswith(f"{parser.prog} ") or line == parser.prog for line in EXAMPLES)


@pytest.mark.parametrize("package", PARSERS)
def test_run_as_a_module(package: str) -> None:
    command = [sys.executable, "-m", package, "--version"]
    reported = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(rf"{package} \S+.*, torch \d\S+, Python 3\.\S+\n", reported), reported
