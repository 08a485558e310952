"""The sweep over public libraries: its page and, in an environment of its own, the models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fx2caffe.zoo.result import DIFFERS, FAILED, VERDICTS
from fx2caffe.zoo.table import BEGIN, END, markdown
from tests.library.models import LIBRARIES, SOURCE
from tests.library.page import PAGE


@pytest.mark.long
@pytest.mark.pycaffe
@pytest.mark.parametrize("library", LIBRARIES)
def test_no_model_is_wrong(library: str, tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    command = [sys.executable, "-m", "tests.library", "--only", library, "-o", str(folder)]
    environment = tmp_path.parent / "library"
    subprocess.run([*command, "--environment", str(environment)], check=False)
    rows = [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))]
    assert len(rows) == len(LIBRARIES[library].names)
    wrong = [row for row in rows if row["verdict"] in (DIFFERS, FAILED)]
    assert not wrong, "\n".join(f"{row['job']['name']}: {row['reasons']}" for row in wrong)


def test_the_page_has_models_of_the_table_alone() -> None:
    table = PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0].strip().splitlines()
    rows = table[markdown([]).count("\n") :]
    assert rows
    for row in rows:
        library, _, model = row.split("`")[1].partition(":")
        assert model.replace("-", "__") in {
            name.replace("-", "__") for name in LIBRARIES[library].names
        }
        assert any(f" | {verdict} | " in row for verdict in VERDICTS), row
    counts = [sum(f" | {name} | " in row for row in rows) for name in VERDICTS]
    assert table[0].startswith(f"{len(rows)} models: {counts[0]} equal")


def test_names_of_models_are_names_of_factories() -> None:
    """The zoo looks for attributes of a module."""
    assert SOURCE == "tests.library.models"
    for library in LIBRARIES.values():
        assert all(name.isidentifier() for name in library.names)
        assert len(set(library.names)) == len(library.names)
