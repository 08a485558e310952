"""The command `fx2caffe zoo`."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence

from caffe2fx.cli.output import Output
from caffe2fx.engines import best_engine
from caffe2fx.errors import CaffeError
from fx2caffe.targets import find_target
from fx2caffe.zoo.models import names
from fx2caffe.zoo.result import EQUAL, FAILED, VERDICTS, Row
from fx2caffe.zoo.runner import run
from fx2caffe.zoo.table import summary, write


def run_zoo(arguments: argparse.Namespace, output: Output) -> int:
    """Run the command."""
    judges = find_target(arguments.target).judges
    engine = best_engine(judges) if arguments.engine == "best" else arguments.engine
    rows = run(
        names(arguments.source, arguments.names),
        output=arguments.output,
        target=arguments.target,
        engine=engine,
        small=arguments.small,
        batch=arguments.batch,
        jobs=arguments.jobs,
        memory=arguments.memory,
        again=_again(arguments.again),
        largest=arguments.largest,
        executor=arguments.executor,
        progress=lambda row: output.note(_line(row)),
    )
    if not rows:
        raise CaffeError(f"zoo needs a model of --largest {arguments.largest:g} MB, got none")
    if arguments.markdown is not None:
        write(rows, arguments.markdown)
    output.result(summary(rows))
    return 0 if all(row.verdict == EQUAL for row in rows) else 1


def _again(named: Sequence[str] | None) -> Collection[str]:
    """Return the verdicts of rows to make anew."""
    unknown = [name for name in named or () if name not in VERDICTS]
    if unknown:
        raise CaffeError(f"--again needs verdicts of {', '.join(VERDICTS)}, got {unknown[0]!r}")
    return [FAILED] if named is None else named or VERDICTS


def _line(row: Row) -> str:
    """Return one line about a finished row."""
    reason = f": {row.reasons[0]}" if row.reasons else ""
    return f"{row.job.name} {row.verdict}{reason}"
