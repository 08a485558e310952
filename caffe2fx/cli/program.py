"""A command line of these packages: options that all commands have, and errors as one line.

Nothing here imports torch: a command's function is named by its module and imported when it runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from caffe2fx.cli.completion import PrintCompletion
from caffe2fx.cli.output import Output
from caffe2fx.errors import CaffeError
from caffe2fx.report.escaping import echo

Run = Callable[[argparse.Namespace, Output], int]
INTERRUPTED = 130  # the exit status that a shell gives for Ctrl-C
FAULT = 70  # EX_SOFTWARE of sysexits.h


def program(name: str, description: str, examples: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of a program, without commands."""
    parser = argparse.ArgumentParser(
        prog=name,
        description=description,
        epilog=_epilog(name, examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action=_Version, help="print the versions of this package and of torch"
    )
    parser.add_argument(
        "--print-completion",
        action=PrintCompletion,
        metavar="SHELL",
        help="print a completion script for bash, zsh or tcsh (extra: fx2caffe[completion])",
    )
    return parser


def command(
    commands: Any, name: str, run: str, help: str, examples: Sequence[str]
) -> argparse.ArgumentParser:
    """Add a command and return its parser; `run` is "MODULE:FUNCTION", a Run."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=help[0].upper() + help[1:] + ".",
        epilog=_epilog(commands._prog_prefix, examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_common(parser.add_argument_group("options of every command"))
    parser.set_defaults(run=run)
    return parser


def _epilog(prefix: str, examples: Sequence[str]) -> str:
    lines = [f"  {prefix} {example}" for example in examples]
    return "\n".join(["example:" if len(lines) == 1 else "examples:", *lines])


def _add_common(group: argparse._ArgumentGroup) -> None:
    group.add_argument("-q", "--quiet", action="store_true", help="print results and errors only")
    group.add_argument("-v", "--verbose", action="store_true", help="print every feature map")
    group.add_argument(
        "--log-file", type=Path, metavar="FILE", help="append all that is printed, with the time"
    )
    group.add_argument("--debug", action="store_true", help="show the traceback of an error")


class _Version(argparse.Action):
    """Prints the versions, without importing the packages that have them."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help=options["help"])

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        python = ".".join(map(str, sys.version_info[:3]))
        echo(f"{parser.prog} {_version('fx2caffe')}, torch {_version('torch')}, Python {python}")
        parser.exit()


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # 20 ms

    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


def run(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> int:
    """Run the command that the arguments name; return its exit status.

    An error that a user can cause is one line on standard error and status 1; with `--debug` its
    traceback comes before.
    """
    arguments = parser.parse_args(argv)
    try:
        output = Output(parser.prog, arguments)
    except OSError as error:
        echo(f"{parser.prog}: error: --log-file: {error}", sys.stderr)
        return 1
    with output:
        return _guarded(output, lambda: _named(arguments.run)(arguments, output))


def _named(run: str) -> Run:
    module, _, name = run.partition(":")
    function: Run = getattr(import_module(module), name)
    return function


def _guarded(output: Output, run: Callable[[], int]) -> int:
    """Run a command; errors become messages instead of tracebacks."""
    try:
        return run()
    except KeyboardInterrupt:
        output.error("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        sys.stdout = sys.stderr
        return 1
    except (CaffeError, OSError) as error:
        output.error(f"error: {error}")
        return 1
    except MemoryError as error:
        output.error(f"error: not enough memory {error}")
        return 1
    except Exception as error:
        cause = f"{type(error).__name__}: {error}"
        output.error(f"error: a fault of {output.program} itself, {cause} (--debug shows where)")
        return FAULT
