"""A net as the nodes of a drawing."""

from __future__ import annotations

from collections.abc import Mapping

from caffe2fx.net.net import Net
from caffe2fx.net.step import is_input
from caffe2fx.report.layout import Node
from caffe2fx.report.svg import drawing


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


def svg_of(net: Net) -> str:
    """Return a drawing of a net as an SVG file."""
    return drawing(nodes_of(net)) + "\n"
