"""A net as an SVG drawing: layers as boxes in the colour of their kind, edges between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from unicodedata import east_asian_width

from caffe2fx.report.layout import DOWN, GUTTER, HEIGHT, WIDTH, Layout, Node, laid_out
from caffe2fx.report.text import page, visible

LETTERS = 19  # of a name that a box has room for

STYLE = """
.net{font:12px/1.3 system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
.net .edge{fill:none;stroke:#98a2b3;stroke-width:1.4}
.net .quiet{opacity:.25}
.net .box{fill:#f8fafc;stroke:#98a2b3;stroke-width:1}
.net .name{fill:#101828;font-weight:600}.net .type{fill:#475467;font-size:10.5px}
.net .input .box{fill:#eaf1fb;stroke:#6b8fc4}
@media(prefers-color-scheme:dark){
.net .edge{stroke:#5d6b82}.net .box{fill:#1d2635;stroke:#5d6b82}
.net .name{fill:#f2f4f7}.net .type{fill:#b3bccb}.net .input .box{fill:#1c2f4d;stroke:#5b80b8}}
"""


def drawing(nodes: Sequence[Node], *, style: bool = True) -> str:
    """Return the drawing of a net; without `style` the page around it has one."""
    found = laid_out(nodes)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="net" role="img" '
        f'aria-label="the net as a graph" viewBox="0 0 {found.width} {found.height}" '
        f'width="{found.width}" height="{found.height}">'
    )
    parts = [head, f"<style>{STYLE}</style>" if style else "", '<g class="world">']
    parts += _edges(nodes, found)
    parts += (_box(index, node, found) for index, node in enumerate(nodes))
    return "".join([*parts, "</g></svg>"])


def _edges(nodes: Sequence[Node], found: Layout) -> Iterator[str]:
    for index, node in enumerate(nodes):
        for bottom in dict.fromkeys(node.bottoms):
            kind = "edge" if node.type != "Silence" else "edge quiet"
            kind += f" {node.kind}-edge" if node.kind in ("fault", "consequence") else ""
            yield f'<path class="{kind}" d="{_path(bottom, index, found)}"/>'


def _path(start: int, end: int, found: Layout) -> str:
    """Return the way of an edge: straight, around the layers between, or through the gutter."""
    (x, y), (to_x, to_y) = found.centres[start], found.centres[end]
    y, to_y = y + HEIGHT // 2, to_y - HEIGHT // 2
    half = (DOWN - HEIGHT) // 2
    if found.columns[start] != found.columns[end]:
        gutter = to_x - WIDTH // 2 - GUTTER // 2
        return (f"M{x} {y}v{half}C{x} {y + DOWN // 2} {gutter} {y + DOWN // 2} {gutter} {y}"
                f"V{to_y}C{gutter} {to_y - half} {to_x} {to_y - half} {to_x} {to_y}")  # fmt: skip
    if x == to_x and to_y - y > DOWN:
        side = x + WIDTH // 2 + 14
        return (f"M{x} {y}C{x} {y + half} {side} {y} {side} {y + DOWN // 2}"
                f"V{to_y - DOWN // 2}"
                f"C{side} {to_y} {to_x} {to_y - half} {to_x} {to_y}")  # fmt: skip
    if x == to_x:
        return f"M{x} {y}V{to_y}"
    bend = max(half, min(DOWN // 2, (to_y - y) // 2))
    if to_y - y > DOWN:  # along its own lane first, which is free there more often than not
        return f"M{x} {y}C{x} {y + bend} {to_x} {y} {to_x} {y + DOWN // 2}V{to_y}"
    return f"M{x} {y}C{x} {y + bend} {to_x} {to_y - bend} {to_x} {to_y}"


def _box(index: int, node: Node, found: Layout) -> str:
    x, y = found.centres[index]
    left, top = x - WIDTH // 2, y - HEIGHT // 2
    kind = f"node {node.kind}".strip()
    tip = page(node.tip or f"{node.name} ({node.type})")
    return (
        f'<g class="{kind}" data-node="{index}"><title>{tip}</title>'
        f'<rect class="box" x="{left}" y="{top}" width="{WIDTH}" height="{HEIGHT}" rx="7"/>'
        f'<text class="name" x="{left + 10}" y="{y - 3}">{page(shortened(node.name))}</text>'
        f'<text class="type" x="{left + 10}" y="{y + 12}">{page(shortened(node.type, 24))}</text>'
        "</g>"
    )


def shortened(name: str, letters: int = LETTERS) -> str:
    """Return a name that fits its box: its end, which distinguishes it best."""
    text = visible(name, lines=False)
    wide = [2 if east_asian_width(one) in "WF" else 1 for one in text]
    if sum(wide) <= letters:
        return text
    room, at = letters - 1, len(text)
    while at and room >= wide[at - 1]:
        at -= 1
        room -= wide[at]
    return f"\u2026{text[at:]}"
