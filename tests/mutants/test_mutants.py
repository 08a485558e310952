"""The breaks of a source, the tests that are asked, and how a break is judged."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import cast

import pytest

from tests.mutants import rooms
from tests.mutants.operators import Mutant, mutants
from tests.mutants.runs import Ended, Tree, judged

SOURCE = '''
def f(a: int = 1) -> "list[int]":
    """Return 1 of 2."""
    if not a or a < 2:
        g(a, key=3)
    if a:
        raise ValueError(f"needs {a + 1}, got 0")
    return a[:é] * -a, zip(a, é, strict=True)
'''.encode()
BREAKS = {
    "boolean": [
        *("True", "False", "(not a and a < 2)", "(a < 2)", "(not a)", "(a)"),
        *("True", "False"),
    ],
    "comparison": ["(a <= 2)"],
    "constant": ["2", "3", "4"],
    "removed call": ["pass"],
    "removed argument": ["g(a)"],
    "return": ["None"],
    "off by one": ["(é) + 1"],
    "arithmetic": ["(a[:é] // -a)", "(a)"],
}


def test_each_operator_breaks_what_runs_and_no_text() -> None:
    made = mutants("f.py", SOURCE)
    found: dict[str, list[str]] = {}
    for mutant in made:
        found.setdefault(mutant.operator, []).append(mutant.new)
        assert ast.dump(ast.parse(mutant.applied(SOURCE))) != ast.dump(ast.parse(SOURCE))
    assert {name: sorted(new) for name, new in found.items()} == {
        name: sorted(new) for name, new in BREAKS.items()
    }
    assert made[-1].shown(SOURCE).startswith("f.py:8 f, ")


def test_every_file_is_in_a_room_with_tests() -> None:
    found = rooms.files()
    assert rooms.BESIDE.keys() <= found.keys()
    for room in found:
        tests = rooms.tests_of(room)
        assert tests and len(set(tests)) == len(tests)
        assert all((rooms.ROOT / path).exists() for path in tests), tests


class Ends:
    """Plays a tree whose tests end as stated: those of the break, then the red one alone."""

    def __init__(self, *ends: Ended) -> None:
        self.ends = list(ends)

    def run(self, tests: Sequence[str], seconds: float, mutant: Mutant | None = None) -> Ended:
        return self.ends.pop(0)


ENDED = {
    "killed": [Ended(1, 3, "red"), Ended(0, 1)],
    "lived": [Ended(0, 9)],
    "late": [Ended(2, 9)],
    "unfit: red without the break too": [Ended(1, 3, "red"), Ended(1, 0, "red")],
    "unfit: not imported": [Ended(2)],
    "unfit: no tests": [Ended(5)],
    "hangs": [Ended(-9)],
}


@pytest.mark.parametrize("name", ENDED)
def test_a_break_is_killed_by_a_test_that_is_green_without_it(name: str) -> None:
    tree, mutant = cast(Tree, Ends(*ENDED[name])), mutants("fx2caffe/errors.py", SOURCE)[0]
    assert judged(tree, mutant, 1, {})[0] == name.split(":")[0].split()[0]
