"""The command `caffe2fx`: load, compare, inspect, upgrade, weights, engine."""

from __future__ import annotations

from collections.abc import Sequence

from caffe2fx.cli.arguments import parser
from caffe2fx.cli.program import run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; errors of this project end it with status 1 and their message."""
    return run(parser(), argv)
