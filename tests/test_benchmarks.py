"""The page of benchmarks has rows of the command's, in its order."""

from __future__ import annotations

import re

from benchmarks import __main__ as command
from benchmarks import turns


def test_the_page_has_rows_of_the_command() -> None:
    lines = command.PAGE.read_text("utf-8").splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    made = [(row.stage, row.model, row.other) for row in command.all_rows()]
    shown = [tuple(cell[:3]) for cell in cells[2:]]
    assert shown and shown == [row for row in made if row in shown]
    for cell in cells[2:]:
        assert re.fullmatch(r"\d+\.\d\d \(\d+\.\d\d to \d+\.\d\d\)", cell[3]), cell


def test_a_name_selects_one_row() -> None:
    names = [row.name for row in command.all_rows()]
    assert len(set(names)) == len(names)


def test_the_bodies_run_in_turns() -> None:
    ran: list[str] = []
    ratio = turns.in_turns(lambda: ran.append("ours"), lambda: ran.append("theirs"))
    assert ran == ["ours", "theirs"] * (turns.ROUNDS + 1)
    assert len(ratio.shares) == turns.ROUNDS
