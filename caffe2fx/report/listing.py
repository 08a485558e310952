"""A page of HTML that is one table, which a click on a column's head sorts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from urllib.parse import quote

from caffe2fx.report.page import asset
from caffe2fx.report.text import page


@dataclass(frozen=True)
class Cell:
    """Holds a cell's text, the value that it is sorted by in place of the text, and links.

    `links` are texts and the names of files in the page's own folder.
    """

    text: str
    sort_key: float | None = None
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Listing:
    """Holds the contents of a page; each line is the kind of its mark and its cells."""

    title: str
    status: str
    summary: str
    head: Sequence[str]
    lines: Sequence[tuple[str, Sequence[Cell]]]


def rendered(made: Listing) -> str:
    """Return the page as text."""
    head = "".join(f'<th><button class="sort">{page(one)}</button></th>' for one in made.head)
    lines = "\n".join(
        f'<tr class="{page(kind)}">{"".join(map(_cell, cells))}</tr>' for kind, cells in made.lines
    )
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{page(made.title)}</title><style>{asset("report.css")}{asset("listing.css")}</style></head>
<body><main><header class="panel wide verdict {page(made.status)}"><h1>{page(made.title)}</h1>
<p class="word">{page(made.summary)}</p></header>
<section class="panel wide table"><div class="rows"><table class="listing">
<thead><tr>{head}</tr></thead><tbody>
{lines}
</tbody></table></div></section></main><script>{asset("listing.js")}</script></body></html>
"""


def _cell(cell: Cell) -> str:
    links = "".join(
        f' <a href="{page(quote(target))}">{page(text)}</a>' for text, target in cell.links.items()
    )
    return f"<td{_order(cell.sort_key)}>{page(cell.text)}{links}</td>"


def _order(sort_key: float | None) -> str:
    """Return the attribute that the page's program sorts by; it reads neither inf nor nan."""
    if sort_key is None:
        return ""
    bounded = 1e308 if isnan(sort_key) else max(-1e308, min(1e308, sort_key))
    return f' data-order="{bounded:.17g}"'
