"""README's Python examples run as they stand, in their order, in one empty folder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import caffe2fx
from caffe2fx.layers import user_defined

README = Path(__file__).parents[1] / "README.md"
EXAMPLES = [
    code
    for code in re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.S)
    if "def test_" not in code
]


def test_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(EXAMPLES) >= 3
    try:
        for code in EXAMPLES:
            exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    finally:
        for type_ in user_defined.types():
            caffe2fx.unregister(type_)
