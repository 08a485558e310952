"""The arguments of the command `fx2caffe zoo`; nothing here imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from caffe2fx.cli.arguments import positive, positive_float
from caffe2fx.cli.program import command
from caffe2fx.engines import NAMES


def configure(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands,
        "zoo",
        "fx2caffe.zoo.command:run_zoo",
        "export and verify many models, each in one row",
        [
            "zoo 'resnet*' 'vit_b_*' --small --batch 3 --target portable",
            "zoo --source timm my_package.models:build_net --markdown table.md",
            "zoo 'resnet*' --executor dask://scheduler:8786",
        ],
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="models, or patterns: 'resnet*'")
    parser.add_argument(
        "--source",
        nargs="+",
        default=["torchvision"],
        metavar="SOURCE",
        help="torchvision (default), timm, or PACKAGE.MODULE:FACTORY",
    )
    parser.add_argument("--target", default="bvlc", help="default: bvlc")
    engines = ["best", *NAMES]
    parser.add_argument("--engine", choices=engines, default="best", help="default: best")
    parser.add_argument("--batch", type=positive, default=0, help="verify with this batch too")
    parser.add_argument("--small", action="store_true", help="the smallest inputs that run")
    parser.add_argument(
        "--largest", type=positive_float, metavar="MB", help="leave out larger weights"
    )
    parser.add_argument("--jobs", type=positive, default=1, help="processes at a time (default: 1)")
    parser.add_argument(
        "--memory", type=positive_float, metavar="GB", help="for all processes together"
    )
    parser.add_argument(
        "--executor",
        metavar="ADDRESS",
        help="run the jobs on a dask.distributed cluster: dask://HOST:PORT",
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("zoo"), metavar="FOLDER", help="default: zoo"
    )
    parser.add_argument(
        "--again",
        nargs="*",
        metavar="VERDICT",
        help="do not take what is there: all, or of these verdicts (default: failed)",
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write or refresh the table")
