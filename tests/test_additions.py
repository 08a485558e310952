"""The worked additions of tests/README.md are those of the tree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fx2caffe.targets import PORTABLE, Target

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "tests" / "README.md").read_text("utf-8")
# Each with the file that is named last before it.
CODE = [
    (re.findall(r"`([\w/]+\.py)`", TEXT[: found.start()])[-1], found[1])
    for found in re.finditer(r"```(?:python|text)\n(.*?)```", TEXT, re.S)
]
STANDING = [(file, code) for file, code in CODE if "edge" not in code]


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(("file", "code"), STANDING)
def test_the_code_of_an_addition_is_in_its_file(file: str, code: str) -> None:
    assert len(STANDING) == 5
    assert words(code) in words((ROOT / file).read_text("utf-8"))


def test_the_target_of_the_addition_is_one() -> None:
    (code,) = (code for _, code in CODE if "derived" in code)
    names = {"PORTABLE": PORTABLE}
    exec(code, names)
    assert isinstance(names["EDGE"], Target) and "ELU" not in names["EDGE"].types
