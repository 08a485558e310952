"""The output of a command: results, notes, errors and progress, also into a log file."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from caffe2fx.cli.progress_display import displays, shown
from caffe2fx.progress import listening
from caffe2fx.report.escaping import echo
from caffe2fx.report.text import visible

if TYPE_CHECKING:  # it needs torch, which commands that compare nothing do without
    from caffe2fx.verdict.result.report import Report


class Output:
    """Writes the output of one command by --quiet, --verbose, --log-file and --debug.

    Results go to standard output, errors, notes on the way and progress to standard error.
    """

    def __init__(self, program: str, arguments: argparse.Namespace) -> None:
        self.program = program
        self.quiet: bool = arguments.quiet
        self.verbose: bool = arguments.verbose
        self.debug: bool = arguments.debug
        self._log: TextIO | None = None
        if arguments.log_file is not None:
            self._log = arguments.log_file.open("a", encoding="utf-8")

    def __enter__(self) -> Output:
        return self

    def __exit__(self, *error: object) -> None:
        if self._log is not None:
            self._log.close()

    def result(self, text: object) -> None:
        """Print a result of the command."""
        echo(text)
        self.log(text)

    def report(self, report: Report) -> None:
        """Print the verdict, the failing and the worst maps; every map with `--verbose`."""
        report.show(every=self.verbose)
        self.log(report.text(every=True))

    def note(self, text: object) -> None:
        """Print a note; `--quiet` leaves it out."""
        if not self.quiet:
            echo(text)
        self.log(text)

    def error(self, text: object) -> None:
        """Print why the command ends, after the traceback of the present error for `--debug`."""
        trace = traceback.format_exc()
        if self.debug:
            echo(trace, sys.stderr)
        echo(f"{self.program}: {text}", sys.stderr)
        self.log(f"{trace}{text}")

    def log(self, text: object) -> None:
        """Write into the log file alone, if there is one."""
        if self._log is not None:
            now = time.strftime("%Y-%m-%d %H:%M:%S")
            print(f"{now} {visible(text)}", file=self._log, flush=True)

    @contextmanager
    def progress(self) -> Iterator[None]:
        """Show the progress of this block: a bar on a terminal, else a line now and then."""
        with shown(displays(self.program, self.quiet, self.log)) as show, listening(show):
            yield
