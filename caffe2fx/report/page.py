"""A page of HTML that needs no network: its style, its programs and its data are in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caffe2fx.report.layout import Node
from caffe2fx.report.svg import drawing
from caffe2fx.report.text import page, script

ASSETS = Path(__file__).with_name("assets")
_LEGEND = {
    "equal": "equal; the stronger, the nearer to its limit",
    "fault": "differs by itself",
    "consequence": "differs after a fault",
    "unproven": "not proven",
    "unverified": "not verified",
    "input": "input",
}


@dataclass(frozen=True)
class Line:
    """Holds one line of the table of maps: its kind, and its cells, the verdict's words last."""

    kind: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """Holds the contents of a page.

    `status` is the class of the verdict, `word` its name and `explanation` its sentences; `facts`
    are names and values, `nodes` those of the drawing, and `data` is read by the page's program.
    """

    title: str
    status: str
    word: str
    explanation: Sequence[str]
    facts: Mapping[str, str]
    refusals: Sequence[str] = ()
    nodes: Sequence[Node] = ()
    head: Sequence[str] = ()
    lines: Sequence[Line] = ()
    data: Any = None


def rendered(made: Page) -> str:
    """Return the page as text."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{page(made.title)}</title><style>{asset('report.css')}</style></head><body><main>",
        _verdict(made),
        _refusals(made.refusals),
    ]
    if made.lines:
        parts += [f'<div class="left">{_net(made)}{_DEPTH}</div>', _LAYER, _table(made)]
        parts.append(f'<script type="application/json" id="data">{script(made.data)}</script>')
        parts += (f"<script>{asset(name)}</script>" for name in ("d3.min.js", "report.js"))
    return "\n".join([*filter(None, parts), "</main></body></html>\n"])


def asset(name: str) -> str:
    """Return the text of a file that is part of a page."""
    return (ASSETS / name).read_text(encoding="utf-8")


def _verdict(made: Page) -> str:
    facts = "".join(
        f"<div><dt>{page(name)}</dt><dd>{page(value)}</dd></div>"
        for name, value in made.facts.items()
        if value
    )
    sentences = "".join(f"<p>{page(one)}</p>" for one in made.explanation)
    return (
        f'<header class="panel wide verdict {page(made.status)}"><h1>{page(made.title)}</h1>'
        f'<p class="word">{page(made.word)}</p>{sentences}<dl class="facts">{facts}</dl></header>'
    )


def _refusals(reasons: Sequence[str]) -> str:
    if not reasons:
        return ""
    items = "".join(f"<li>{page(one)}</li>" for one in reasons)
    return (
        '<section class="panel wide"><h2>What cannot be exported</h2>'
        f'<ol class="refusals">{items}</ol></section>'
    )


def _net(made: Page) -> str:
    if not made.nodes:
        return '<section class="panel"><h2>Outputs</h2><p class="none">The layers of one side are \
not known: its outputs alone were compared.</p></section>'
    kinds = {node.kind.split(" ")[0] for node in made.nodes}
    legend = "".join(
        f'<li><i class="{kind}"></i>{text}</li>' for kind, text in _LEGEND.items() if kind in kinds
    )
    return (
        '<section class="panel"><div class="bar"><h2>The net</h2>'
        '<button id="closer" title="go to the chosen layer">chosen layer</button>'
        '<button id="fit" title="show the whole net">whole net</button>'
        '<div class="search"><input id="search" type="search" placeholder="Search layers" '
        'aria-label="search layers" autocomplete="off"><ul class="hits" id="hits"></ul></div></div>'
        f'<div id="net">{drawing(made.nodes, style=False)}</div>'
        f'<ul class="legend">{legend}</ul></section>'
    )


_LAYER = (
    '<aside class="panel" id="layer"><p class="none">The drawing, the search and the numbers of a '
    "layer need JavaScript; the table below does not.</p></aside>"
)
_DEPTH = (
    '<section class="panel"><h2>Error along depth</h2><div id="depth"></div>'
    '<p class="keys"><i class="k-end"></i>end to end<i class="k-alone"></i>alone, fed with the '
    'reference\'s inputs; both as a share of the <span id="share-of">limit</span>, a point for the '
    "worse</p></section>"
)


def _table(made: Page) -> str:
    head = "".join(f"<th>{page(one)}</th>" for one in made.head)
    lines = "".join(_line(index, line) for index, line in enumerate(made.lines))
    return (
        '<section class="panel wide table"><div class="bar"><h2>Every feature map</h2>'
        '<select id="filter" aria-label="which maps"><option value="all">all maps</option>'
        '<option value="failing">those that are not equal</option></select></div>'
        f'<div class="rows"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>'
        "</div></section>"
    )


def _line(index: int, line: Line) -> str:
    *texts, why = line.cells
    cells = "".join(f"<td>{page(text)}</td>" for text in texts)
    return (
        f'<tr class="{page(line.kind)}" data-row="{index}">{cells}'
        f'<td class="why">{page(why)}</td></tr>'
    )
