"""A table for a notebook, whose page has a style of its own: each element brings its colours."""

from __future__ import annotations

from collections.abc import Sequence

from caffe2fx.report.page import Line
from caffe2fx.report.text import page

# Readable on white and on black alike.
_STYLES = {
    "fault": "color:#d6453a;font-weight:600",
    "consequence": "color:#d6453a;opacity:.75",
    "unproven": "color:#b06f12",
    "unverified": "opacity:.6",
}
_CELL = "text-align:left;vertical-align:top"


def table(summary: str, head: Sequence[str], lines: Sequence[Line | None]) -> str:
    """Return a sentence and a table below it; a line of None marks lines that are left out."""
    return f"<div><p>{page(summary)}</p>{_table(head, lines) if lines else ''}</div>"


def listing(summary: str, items: Sequence[str]) -> str:
    """Return a sentence and a list below it."""
    points = "".join(f"<li>{page(item)}</li>" for item in items)
    return f"<div><p>{page(summary)}</p>{f'<ol>{points}</ol>' if points else ''}</div>"


def _table(head: Sequence[str], lines: Sequence[Line | None]) -> str:
    titles = "".join(f'<th style="{_CELL}">{page(title)}</th>' for title in head)
    gap = f'<tr><td colspan="{len(head)}" style="{_CELL}">\u2026</td></tr>'
    rows = "".join(gap if line is None else _row(line) for line in lines)
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table>"


def _row(line: Line) -> str:
    style = _STYLES.get(line.kind, "")
    cells = "".join(f'<td style="{_CELL}">{page(text)}</td>' for text in line.cells)
    return f'<tr style="{style}">{cells}</tr>'
