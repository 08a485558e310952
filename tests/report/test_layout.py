"""Drawings of nets: no layer lies on another, edges go down, names are text and fit their boxes."""

from __future__ import annotations

import random
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from caffe2fx.net.drawing import svg_of
from caffe2fx.report.layout import ACROSS, DOWN, HEIGHT, WIDTH, Node, laid_out
from caffe2fx.report.svg import LETTERS, drawing, shortened
from tests.verdict.nets import right_net


def chain(count: int) -> list[Node]:
    return [Node(f"n{i}", "ReLU", (i - 1,) if i else ()) for i in range(count)]


def branching(count: int) -> list[Node]:
    draw = random.Random(count)
    nodes = [Node("in", "Input")]
    for index in range(1, count):
        bottoms = {
            draw.randrange(max(0, index - 9), index) for _ in range(draw.choice((0, 1, 1, 3)))
        }
        nodes.append(Node(f"n{index}", "Eltwise", tuple(bottoms)))
    return nodes


NETS = {
    "nothing": [],
    "one": chain(1),
    "a chain": chain(40),
    "a long chain": chain(700),
    "many branches": branching(300),
    "a fan": [Node("in", "Input"), *(Node(f"n{i}", "ReLU", (0,)) for i in range(50))],
}


@pytest.mark.parametrize("nodes", NETS.values(), ids=NETS)
def test_every_layer_has_room_of_its_own(nodes: list[Node]) -> None:
    found = laid_out(nodes)
    assert len(found.centres) == len(set(found.centres)) == len(nodes)
    for x, y in found.centres:
        assert WIDTH / 2 <= x <= found.width - WIDTH / 2
        assert HEIGHT / 2 <= y <= found.height - HEIGHT / 2
    rows: dict[int, list[int]] = {}
    for x, y in found.centres:
        rows.setdefault(y, []).append(x)
    for across in rows.values():
        ordered = sorted(across)
        assert all(b - a >= ACROSS for a, b in pairwise(ordered))
    for index, node in enumerate(nodes):
        for bottom in node.bottoms:
            down = found.columns[index], found.centres[index][1]
            assert down > (found.columns[bottom], found.centres[bottom][1])


@pytest.mark.parametrize("nodes", NETS.values(), ids=NETS)
def test_an_edge_leads_from_below_its_bottom_to_above_its_layer(nodes: list[Node]) -> None:
    found = laid_out(nodes)
    ends = [(bottom, index) for index, node in enumerate(nodes) for bottom in node.bottoms]
    paths = re.findall(r'd="M(\d+) (\d+)[^"]*?(\d+)"', drawing(nodes))
    assert len(paths) == len(ends)
    for path, (bottom, index) in zip(paths, ends, strict=True):
        x, y = found.centres[bottom]
        assert [*map(int, path)] == [x, y + HEIGHT // 2, found.centres[index][1] - HEIGHT // 2]


def test_a_chain_stays_in_one_lane_and_a_constant_is_by_its_reader() -> None:
    assert {x for x, _ in laid_out(chain(10)).centres} == {laid_out(chain(1)).centres[0][0]}
    nodes = [*chain(6), Node("constant", "DummyData"), Node("sum", "Eltwise", (5, 6))]
    centres = laid_out(nodes).centres
    assert centres[7][1] - centres[6][1] == DOWN


def test_a_large_net_is_wide_as_a_page_is() -> None:
    found = laid_out(chain(3000))
    assert 1 < found.width / found.height < 2.2
    assert len(drawing(chain(3000))) < 2_000_000


@pytest.mark.parametrize(
    "name", ["<script>", '"x', "]]>", "a\u202eb", "\x1b[31m", "&lt;", "层" * 40, "x" * 500, ""]
)
def test_a_name_is_text_that_fits(name: str) -> None:
    text = drawing([Node(name, name, kind="input", tip=name)])
    root = ElementTree.fromstring(text)
    tags = {one.tag.rpartition("}")[2] for one in root.iter()}
    assert tags == {"svg", "style", "g", "title", "rect", "text"}
    shown = [one.text or "" for one in root.iter() if one.tag.endswith("text")]
    assert all(text.isprintable() and len(text) <= 24 for text in shown)
    assert len(shortened(name)) <= LETTERS
    titles = [one.text or "" for one in root.iter() if one.tag.endswith("title")]
    assert all(title.isprintable() for title in titles)


def test_a_short_name_keeps_its_end() -> None:
    assert shortened("conv1") == "conv1"
    name = "features.denseblock4.denselayer16.conv2"
    assert shortened(name) == "\u2026" + name[1 - LETTERS :]


def test_the_drawing_of_a_net_has_a_box_a_layer_and_an_edge_a_bottom() -> None:
    net = right_net()
    root = ElementTree.fromstring(svg_of(net))
    kinds = [one.get("class") or "" for one in root.iter()]
    assert sum(kind.startswith("node") for kind in kinds) == len(net.steps)
    assert kinds.count("edge") == sum(len(set(step.reads)) for step in net.steps)
