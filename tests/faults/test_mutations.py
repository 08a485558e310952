"""Break one constant of the code and see a test go red: each row of the tables is such a break."""

from __future__ import annotations

import csv
import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.faults.forked import OWN, pytest_status

ROOT = Path(__file__).parents[2]
TABLES = sorted((ROOT / "tests" / "data").glob("mutations_*.tsv"))


def _rows() -> list[dict[str, str]]:
    rows = []
    for table in TABLES:
        with table.open(encoding="utf-8", newline="") as file:
            rows += list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return rows


ROWS = _rows()


def _text(cell: str) -> str:
    return cell.replace("\\n", "\n")


def test_the_tables_are_long_enough() -> None:
    assert len(ROWS) >= 20
    kinds = {row["file"].split("/")[0] for row in ROWS}
    assert kinds == {"caffe2fx", "fx2caffe"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['file']}:{row['old'][:30]}")
def test_each_break_still_fits_the_code(row: dict[str, str]) -> None:
    assert (ROOT / row["file"]).read_text("utf-8").count(_text(row["old"])) == 1


def _status(folder: Path, tests: list[str]) -> tuple[int, str]:
    """Run tests on the code of a folder; return pytest's exit status and the end of its output."""
    with TemporaryDirectory() as logs:
        log = Path(logs, "log")
        status = pytest_status(folder, tests, log)
        return status, log.read_text("utf-8")[-2000:]


@cache
def _unbroken() -> tuple[int, str]:
    """Run the tests of all rows on the code as it is."""
    return _status(ROOT, sorted({row["test"] for row in ROWS}))


@pytest.mark.sweep
@pytest.mark.pycaffe
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['file']}:{row['old'][:30]}")
def test_turns_a_test_red(row: dict[str, str], tmp_path: Path) -> None:
    status, output = _unbroken()
    assert status == pytest.ExitCode.OK, f"not green before the break:\n{output}"
    for folder in OWN:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    for name in ("setup.cfg", "README.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    broken = tmp_path / row["file"]
    broken.write_text(
        broken.read_text("utf-8").replace(_text(row["old"]), _text(row["new"])), "utf-8"
    )
    status, output = _status(tmp_path, [row["test"]])
    # Code that cannot be imported, or that stops pytest, proves nothing about the test.
    assert status == pytest.ExitCode.TESTS_FAILED, (
        f"the test did not turn red (exit {status}):\n{output}"
    )
