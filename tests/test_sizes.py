"""Files and functions stay short enough to be read at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("fx2caffe", "caffe2fx", "tests", "benchmarks")
LINES_OF_A_FILE = 400
MEDIAN, PERCENTILE_99 = 6, 28  # lines of a function, docstring and all


def _sources(package: str) -> Iterator[Path]:
    return (ROOT / package).rglob("*.py")


def _lengths(path: Path) -> Iterator[int]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_is_long(package: str) -> None:
    lengths = {path: path.read_text("utf-8").count("\n") for path in _sources(package)}
    long = {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > LINES_OF_A_FILE}
    assert not long


def test_functions_are_short() -> None:
    paths = [path for package in PACKAGES[:2] for path in _sources(package)]
    lengths = sorted(length for path in paths for length in _lengths(path))
    assert median(lengths) <= MEDIAN
    assert lengths[len(lengths) * 99 // 100] <= PERCENTILE_99
