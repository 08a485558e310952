"""A net as the nodes of a drawing."""

from __future__ import annotations

from collections.abc import Mapping

from caffe2fx.errors import CaffeError
from caffe2fx.net.net import Net
from caffe2fx.net.step import is_input
from caffe2fx.net.totals import totals
from caffe2fx.report.layout import Node
from caffe2fx.report.svg import drawing
from caffe2fx.report.text import page


def nodes_of(net: Net, kinds: Mapping[str, str] | None = None) -> tuple[Node, ...]:
    """Return a node for each step; `kinds` are classes of layers by name."""
    makers = {top: index for index, step in enumerate(net.steps) for top in step.tops}
    given = kinds or {}
    return tuple(
        Node(
            name=step.name,
            type=step.layer.type,
            bottoms=tuple(makers[value] for value in step.reads if value in makers),
            kind=given.get(step.name, "input" if is_input(step) else ""),
            tip=str(step),
        )
        for step in net.steps
    )


MOST_DRAWN = 400  # layers, in a notebook


def html_of(net: Net) -> str:
    """Return a net for a notebook: its sizes and, unless it is large, its drawing."""
    head = f"<b>{page(net.name or 'net')}</b>: {page(_sizes(net))}"
    if len(net.steps) > MOST_DRAWN:
        return f"<div>{head}</div>"
    frame = "max-height:420px;overflow:auto"
    return f'<div>{head}<div style="{frame}">{drawing(nodes_of(net))}</div></div>'


def _sizes(net: Net) -> str:
    try:
        return str(totals(net))
    except CaffeError as error:  # the fault that the user may be looking for
        return f"{len(net.steps)} layers; {error}"


def svg_of(net: Net) -> str:
    """Return a drawing of a net as an SVG file."""
    return drawing(nodes_of(net)) + "\n"
