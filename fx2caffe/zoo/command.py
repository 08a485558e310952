"""The command `fx2caffe zoo`."""

from __future__ import annotations

import argparse
from pathlib import Path

from caffe2fx.engines import NAMES, best_engine
from caffe2fx.verdict.escaping import say
from fx2caffe.targets import TARGETS
from fx2caffe.zoo.models import names
from fx2caffe.zoo.process_pool import run
from fx2caffe.zoo.result import EQUAL, FAILED, VERDICTS, Row
from fx2caffe.zoo.table import summary, write


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser, and the function that runs it."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="models, or patterns: 'resnet*'")
    parser.add_argument(
        "--source",
        nargs="+",
        default=["torchvision"],
        metavar="SOURCE",
        help="torchvision (default), timm, or PACKAGE.MODULE:FACTORY",
    )
    parser.add_argument("--target", choices=list(TARGETS), default="bvlc")
    parser.add_argument("--engine", choices=["best", *NAMES], default="best")
    parser.add_argument("--batch", type=int, default=0, help="verify with this batch too")
    parser.add_argument("--small", action="store_true", help="the smallest inputs that run")
    parser.add_argument("--largest", type=float, metavar="MB", help="leave out larger weights")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time (default: 1)")
    parser.add_argument("--memory", type=float, metavar="GB", help="for all processes together")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("zoo"), help="folder (default: zoo)"
    )
    parser.add_argument(
        "--again",
        nargs="*",
        choices=VERDICTS,
        default=[FAILED],
        help="do not take what is there (of these verdicts; default: failed)",
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write or refresh the table")
    parser.set_defaults(run=_zoo)


def _zoo(arguments: argparse.Namespace) -> int:
    judges = TARGETS[arguments.target].judges
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
        again=arguments.again or VERDICTS,
        largest=arguments.largest,
        progress=_told,
    )
    if arguments.markdown is not None:
        write(rows, arguments.markdown)
    say(summary(rows))
    return 0 if all(row.verdict == EQUAL for row in rows) else 1


def _told(row: Row) -> None:
    """Print one line for a finished row."""
    reason = f": {row.reasons[0]}" if row.reasons else ""
    say(f"{row.job.name} {row.verdict}{reason}")
