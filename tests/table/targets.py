"""The page of the targets, fx2caffe/targets/README.md.

Layers and limits follow from the targets; the refusals of each follow from the rows of tests/ops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fx2caffe.targets import TARGETS, Target
from fx2caffe.targets.command import example
from fx2caffe.targets.table import limits_of
from tests.table import markdown
from tests.table.rows import Found, functions

PATH = Path(__file__).parents[2] / "fx2caffe" / "targets" / "README.md"
README = Path(__file__).parents[2] / "README.md"
COLUMNS = ("target", "judged by", "layers", "limits", "batch", "what reads the nets")
REFUSALS = "## What is refused\n"
ABOUT = """\
# Targets

Written by `python -m tests.table targets` from `catalogue.py` and the rows of `tests/ops`; with
`--only NAME` the line of one torch function.

"""
REFUSED = """
Of each function that some target cannot express, the rows of `tests/ops` that it can: `-` for none
of them, nothing for all. Targets of one batch are asked for the rows at that batch. What all of
them refuse is in [the page of functions](../ops/README.md).

"""


def listed() -> dict[str, str]:
    """Return one line a target."""
    return {
        name: markdown.line(
            (
                f"`{name}`",
                ", ".join(target.judges),
                str(len(target.types)),
                str(sum(map(len, limits_of(target).values()))),
                "any" if target.batch is None else str(target.batch),
                target.about,
            )
        )
        for name, target in TARGETS.items()
    }


def section(target: Target) -> str:
    """Return the layers of a target, what it asks of them, and the commands that take its nets."""
    types = ", ".join(sorted(target.types, key=str.lower))
    limits = [
        f"- {type_}: {'; '.join(asked)}" for type_, asked in sorted(limits_of(target).items())
    ]
    if target.outputs is not None:
        limits.append(f"- the net: at most {target.outputs} outputs")
    if target.drops_batch:
        limits.append(
            "- values: axis 0 is 1 wherever a layer reads the axes, and in outputs of 3 axes"
        )
    listed = "\n".join(limits) or "No limits."
    commands = "".join(
        f"\n{one.program}, for a net of one input:\n```\n{example(one)}\n```\n"
        for one in target.commands
    )
    return f"## `{target.name}`\n\nLayers: {types}.\n\n{listed}\n{commands}"


def head() -> str:
    """Return the page above its table of refusals, which needs no row."""
    table = "\n".join([markdown.head(COLUMNS), *listed().values()]) + "\n"
    return "\n".join([ABOUT + table, *map(section, TARGETS.values()), REFUSALS])


def line(name: str, found: Sequence[Found]) -> str | None:
    """Return the share of a function that each target has; None where all have all of it."""
    rows = [row for row in found if name in row.functions and not row.refused]
    counts = [sum(target in row.targets for row in rows) for target in TARGETS]
    if all(count == len(rows) for count in counts):
        return None
    shares = [_share(count, len(rows)) for count in counts]
    return markdown.line((f"`{name}`", *shares))


def _share(count: int, rows: int) -> str:
    return "" if count == rows else f"{count}/{rows}" if count else "-"


def lines(found: Sequence[Found]) -> dict[str, str]:
    """Return the lines of the functions that some target refuses."""
    made = {name: line(name, found) for name in functions()}
    return {name: text for name, text in made.items() if text is not None}


def page(lines: Mapping[str, str]) -> str:
    """Return the whole file."""
    return head() + REFUSED + markdown.table(("function", *TARGETS), lines)


def refusals(text: str) -> dict[str, str]:
    """Return the lines of a page's table of refusals."""
    return markdown.named_lines(text.partition(REFUSALS)[2])


def updated(text: str, name: str, found: Sequence[Found]) -> dict[str, str]:
    """Return the lines of a page with that of one function made anew; one without handler goes."""
    made, known = line(name, found), set(functions()) - {name}
    kept = {one: text for one, text in refusals(text).items() if one in known}
    return kept if made is None else {**kept, name: made}


def in_readme(text: str) -> str:
    """Return the project's README with its table of targets made anew."""
    lines = [markdown.line((f"`{name}`", target.about)) for name, target in TARGETS.items()]
    table = "\n".join([markdown.head(("target", "what reads the nets")), *lines])
    return markdown.with_part(text, "targets", table)


def write(found: Sequence[Found], only: str | None) -> None:
    """Write the page and README's table, or one line of the page."""
    markdown.write(README, in_readme(README.read_text("utf-8")))
    made = updated(PATH.read_text("utf-8"), only, found) if only else lines(found)
    markdown.write(PATH, page(made))
