"""The command `fx2caffe`: export, check, targets and zoo."""

from __future__ import annotations

from collections.abc import Sequence

from caffe2fx.cli.program import run
from fx2caffe.cli.arguments import parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; errors of this project end it with status 1 and their message."""
    return run(parser(), argv)
