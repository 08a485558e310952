"""Scripts that complete commands and options in a shell, by shtab."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from caffe2fx.report.escaping import echo

SHELLS = ("bash", "zsh", "tcsh")


class PrintCompletion(argparse.Action):
    """Prints the completion script of a shell; shtab is imported for it."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, choices=SHELLS, **options)

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, shell: Any, *_: object
    ) -> None:
        try:
            import shtab
        except ImportError:
            needed = "python -m pip install 'fx2caffe[completion]'"
            parser.error(f"--print-completion needs the package shtab: {needed}")
        echo(shtab.complete(parser, shell))
        parser.exit()
