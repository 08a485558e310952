"""`caffe2fx engine`: list the engines, and install real Caffe."""

from __future__ import annotations

import argparse

from caffe2fx.cli.output import Output
from caffe2fx.engines import all_engines
from caffe2fx.engines.install.installer import install
from caffe2fx.progress import advance


def list_engines(arguments: argparse.Namespace, output: Output) -> int:
    """Run `caffe2fx engine list`."""
    for engine in all_engines():
        missing = engine.why_missing()
        state = engine.describe() if missing is None else f"missing: {missing}"
        output.result(f"{engine.name:8} {state}")
    return 0


def install_engine(arguments: argparse.Namespace, output: Output) -> int:
    """Run `caffe2fx engine install`."""
    with output.progress():
        install(
            mirror=arguments.mirror,
            progress=lambda done, total, part: advance("install pycaffe", done, total, part),
        )
    return list_engines(arguments, output)
