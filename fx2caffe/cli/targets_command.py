"""`fx2caffe targets`: the programs that nets can be made for, one of which `--target` names."""

from __future__ import annotations

import argparse
from pathlib import Path

from caffe2fx.cli.output import Output
from fx2caffe.targets import TARGETS, Target, find_target
from fx2caffe.targets.table import page, table


def list_targets(arguments: argparse.Namespace, output: Output) -> int:
    """Run the command."""
    named = arguments.name
    output.result(table(TARGETS.values()) if named is None else page(find_target(named)))
    return 0


def named_target(text: str) -> Target:
    """Return the target that the command line names: its name, or a caffe.proto."""
    return (
        Target.from_proto(text, Path(text).stem) if text.endswith(".proto") else find_target(text)
    )
