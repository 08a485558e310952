"""The rows of a report as a table for a terminal or a text file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from caffe2fx.verdict.result.report import Report

from caffe2fx.report import notebook
from caffe2fx.report.escaping import cell, echo
from caffe2fx.report.page import Line
from caffe2fx.report.text import visible
from caffe2fx.verdict.result.findings import Kind, Row

MOST_FAULTS, MOST_OTHERS = 5, 3
GAP = "..."
_COLOURS = {
    Kind.FAULT: "bold red",
    Kind.CONSEQUENCE: "red",
    Kind.UNPROVEN: "yellow",
    Kind.UNVERIFIED: "bright_black",
}


def notable(report: Report) -> list[int]:
    """Return the indices of the rows that a short table shows: the failing and the worst.

    With the faults, the first maps that are not proven or differ after them, and their neighbours.
    The report itself ranks its rows.
    """
    kinds = [report.kind(row) for row in report.rows]
    chosen = _first(kinds, [Kind.FAULT], MOST_FAULTS)
    chosen += _first(kinds, [Kind.CONSEQUENCE, Kind.UNPROVEN, Kind.UNVERIFIED], MOST_OTHERS)
    index = {id(row): at for at, row in enumerate(report.rows)}
    chosen += [index[id(row)] for row in report.leading[: MOST_OTHERS if report.ok else 1]]
    neighbours = {at + step for at in chosen for step in (-1, 0, 1)}
    return sorted(at for at in neighbours if 0 <= at < len(report.rows))


def _first(kinds: Sequence[Kind], wanted: Sequence[Kind], most: int) -> list[int]:
    return [at for at, kind in enumerate(kinds) if kind in wanted][:most]


def _parts(report: Report, *, every: bool) -> Iterator[Row | None]:
    """Yield the rows of a table, None where some are left out."""
    rows = range(len(report.rows)) if every else notable(report)
    last = -1
    for at in rows:
        if at > last + 1:
            yield None
        yield report.rows[at]
        last = at
    if last + 1 < len(report.rows):
        yield None


def lines(report: Report, *, every: bool = False) -> list[str]:
    """Return the table in lines of text, with a head; nothing for a report without rows."""
    if not report.rows:
        return [visible(reason) for reason in report.context.refusals]
    parts = _parts(report, every=every)
    gap = (GAP, *[""] * (len(report.head) - 1))
    cells = [report.head, *(gap if row is None else report.cells(row) for row in parts)]
    wide = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [_line(one, wide) for one in cells]


def html(report: Report) -> str:
    """Return the verdict and the short table for a notebook; the refusals where there are any."""
    if not report.rows:
        return notebook.listing(report.summary(), report.context.refusals)
    parts = _parts(report, every=False)
    lines = [_notebook_line(report, row) if row is not None else None for row in parts]
    return notebook.table(report.summary(), report.head, lines)


def _notebook_line(report: Report, row: Row) -> Line:
    return Line(report.kind(row).value, report.cells(row))


def _line(cells: Sequence[str], wide: Sequence[int]) -> str:
    """Return a line: two names, numbers, and the verdict, whose width is its own."""
    names = [text.ljust(width) for text, width in zip(cells[:2], wide, strict=False)]
    texts = [text.rjust(width) for text, width in zip(cells[2:-1], wide[2:], strict=False)]
    return "  ".join([*names, *texts, cells[-1]]).rstrip()


def cells_of(row: Row) -> tuple[str, ...]:
    """Return the columns of a report's table: names, errors relative to the signal, the verdict."""
    share = f"{row.share:.0%}" if row.share < 100 else f"{row.share:.0e}x"
    names = (visible(text, lines=False) for text in (row.layer, row.type))
    errors = (_relative(error, row) for error in (row.alone, row.end_to_end))
    return (*names, *errors, share if row.is_measured else "-", visible(row.verdict, lines=False))


def _relative(error: float | None, row: Row) -> str:
    if error is None:
        return "-"
    return f"{error / row.signal if row.signal else error:.1e}"


def show(report: Report, *, every: bool = False) -> None:
    """Print the verdict, a table that has colours on a terminal, and the report's notes."""
    from rich.console import Console

    echo(report.summary())
    console = Console(highlight=False)
    if console.is_terminal and report.rows:
        console.print(_coloured(report, _parts(report, every=every)))
    else:
        for line in lines(report, every=every):
            echo(line)
    for note in report.notes():
        echo(note)


def _coloured(report: Report, rows: Iterable[Row | None]) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in report.head:
        is_measure = title in report.head[2:-1]
        table.add_column(
            title, justify="right" if is_measure else "left", no_wrap=is_measure, overflow="fold"
        )
    for row in rows:
        cells = (GAP,) if row is None else report.cells(row)
        style = None if row is None else _COLOURS.get(report.kind(row))
        table.add_row(*map(cell, cells), style=style)
    return table
