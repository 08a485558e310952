"""The checked-in table of functions is the registry's, and README leads to it."""

from __future__ import annotations

from pathlib import Path

from tests.ops.test_ops import ROWS
from tests.table import COLUMNS, PATH, Found, functions, lines, listed, look, page

README = Path(__file__).parents[1] / "README.md"


def test_the_table_lists_exactly_the_registered_functions() -> None:
    text = PATH.read_text("utf-8")
    assert listed(text) == functions(), "run python -m tests.table"
    assert f"{len(functions())} functions." in text
    assert "](fx2caffe/ops/README.md)" in README.read_text("utf-8")


# In one of their rows a step or a pole makes much of how the inputs are rounded.
STEEP = ("torch.clamp", "torch.mul", "torch.searchsorted", "torch.tan")


def test_every_line_says_what_it_becomes() -> None:
    for line in PATH.read_text("utf-8").splitlines():
        # isnan is tested number by number (test_edges): what it gives does not move.
        if line.startswith("| `") and "`torch.isnan`" not in line:
            cells = line.strip("| ").split(" | ") if line.endswith(" |  |") else line.split(" | ")
            assert len(cells) >= len(COLUMNS) - 1, line
            if not cells[1].strip():  # refused in every row: it says why
                assert "needs" in line, line
                continue
            assert cells[1] and cells[2] and cells[3], line
            assert float(cells[2]) < 1e-3 or any(f"`{name}`" in line for name in STEEP), line


def test_what_a_row_shows() -> None:
    index = next(i for i, row in enumerate(ROWS) if row.id == "relu")
    found = look(index, "torch")
    assert found.functions == {"F.relu"} and found.layers == ("ReLU",)
    assert {"bvlc", "nnie"} <= found.targets and found.error < 1e-6
    index = next(i for i, row in enumerate(ROWS) if row.id == "round_thousands")
    refused = look(index, "torch")
    assert not refused.layers and "got -3" in refused.refused["torch.round"][0]


def test_a_page_has_every_function() -> None:
    row = Found(frozenset(["F.relu"]), ("ReLU", "ReLU"), 2e-7, frozenset(["bvlc"]))
    text = page([row], "torch")
    assert listed(text) == functions()
    assert "| `F.relu` | 2 ReLU | 2.0e-07 | bvlc |  |" in text.splitlines()
    assert len(lines([row])) == len(functions())
