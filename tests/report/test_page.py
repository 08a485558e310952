"""The page of a report: self-contained, and no name of a net is anything but text in it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch

import caffe2fx
import fx2caffe
from caffe2fx.layers import PoolMethod
from caffe2fx.report.page import ASSETS
from caffe2fx.report.text import script
from caffe2fx.verdict.result.report import Report
from tests.report.test_escaping import NAMES, written
from tests.verdict.nets import at, right_net, verdict, with_step


class Parts(HTMLParser):
    """The elements of a page, its text outside scripts, and the text of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] += data
        elif self.cdata_elem is None:
            self.text += data

    @property
    def data(self) -> Any:
        """The data that the page's program reads."""
        return json.loads(self.scripts[0])


def page_of(report: Report, folder: Path) -> Parts:
    report.save(folder / "r.html")
    return Parts((folder / "r.html").read_text("utf-8"))


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Report:
    net = right_net()
    step = at(net, "pool")
    flipped = with_step(net, replace(step, layer=step.layer.replace(pool=PoolMethod.MAX)))
    return verdict(net, flipped, tmp_path_factory.mktemp("net"), "torch")


def test_a_page_needs_no_network(faulty: Report, tmp_path: Path) -> None:
    parts = page_of(faulty, tmp_path)
    for tag, attributes in parts.tags:
        assert tag not in {"link", "img", "iframe", "object", "base"}
        assert not {"src", "href", "action"} & set(attributes)
    style = (ASSETS / "report.css").read_text("utf-8")
    assert not re.search(r"url\(|@import", style)
    program = (ASSETS / "report.js").read_text("utf-8")
    markup = r"innerHTML|outerHTML|insertAdjacent|document\.write|\.html\(|eval|fetch\("
    assert not re.search(markup, program)


def test_a_page_states_the_verdict_and_where_it_comes_from(faulty: Report, tmp_path: Path) -> None:
    parts = page_of(faulty, tmp_path)
    text = " ".join(parts.text.split())
    assert "Differs" in text and "Layer 'pool' (Pooling): fed with the reference's inputs" in text
    assert (
        "right.prototxt:" in text and "3 feature maps after it differ by what it passes on" in text
    )
    data = parts.data
    assert data["rows"][data["first"]]["layer"] == "pool" and data["differs"]
    kinds = [row["kind"] for row in data["rows"]]
    assert kinds.count("fault") == 1 and kinds.count("consequence") == 3
    assert data["rows"][data["first"]]["details"]["fed"]
    classes = [attributes.get("class") or "" for _, attributes in parts.tags]
    assert sum(one.startswith("node ") for one in classes) == len(data["nodes"]) == 12
    lines = [attributes["data-row"] for tag, attributes in parts.tags if "data-row" in attributes]
    assert lines == [str(index) for index in range(len(faulty.rows))]


def test_a_page_of_a_right_net_and_of_an_unproven_one(tmp_path: Path) -> None:
    net = right_net()
    text = page_of(verdict(net, net, tmp_path, "torch"), tmp_path).text
    assert "Equal" in text and "11 of 11 feature maps equal" in text
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.ReLU()).eval()
    torch.nn.init.constant_(model[0].bias, -1e3)  # type: ignore[arg-type]
    report = fx2caffe.export(model, torch.randn(1, 3, 4, 4)).verify()
    text = page_of(report, tmp_path).text
    assert "Not proven" in text and "gives the same for all inputs that were tried" in text


def test_outputs_alone_make_a_page_without_a_drawing(tmp_path: Path) -> None:
    model = torch.nn.Conv2d(3, 4, 3).eval()
    report = caffe2fx.compare(model, model, torch.randn(1, 3, 8, 8))
    parts = page_of(report, tmp_path)
    assert "its outputs alone were compared" in parts.text
    assert "svg" not in {tag for tag, _ in parts.tags} and len(parts.data["rows"]) == 1


def test_weights_of_the_layer_at_fault_are_shown_on_both_sides(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()).eval()
    made = fx2caffe.export(model, torch.randn(1, 3, 8, 8))
    files = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    made.save(*files)
    gm = caffe2fx.load(*files)
    with torch.no_grad():
        next(gm.parameters())[2] += 1
    caffe2fx.save_weights(gm, files[1])
    report = made.verify(files=files)
    found = report.context.parameters["0"]
    assert found.differences == (pytest.approx(1), 0.0)
    assert found.reference[0].shape == found.engine[0].shape == (4, 3, 3, 3)
    row = page_of(report, tmp_path).data["rows"][0]
    assert row["layer"] == "0" and row["parameters"]["differences"][1] == 0
    assert row["worst"][1] == 2 and row["wrong_channels"] == 1


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_is_text_everywhere(tmp_path: Path, name: str) -> None:
    files = written(tmp_path, name)
    report = caffe2fx.compare(files, files, torch.randn(2, 3))
    parts = page_of(report, tmp_path)
    assert [tag for tag, _ in parts.tags].count("script") == 3
    assert not any(attr.startswith("on") for _, attributes in parts.tags for attr in attributes)
    assert all(character.isprintable() or character == "\n" for character in parts.scripts[0])
    assert parts.data["rows"][0]["layer"].isprintable()
    whole = (
        (tmp_path / "r.html")
        .read_text("utf-8")
        .replace((ASSETS / "d3.min.js").read_text("utf-8"), "")
    )
    assert all(character.isprintable() or character == "\n" for character in whole)


def test_data_ends_no_script() -> None:
    made = script({"</script>": ["<!--", "a\u2028b", float("nan"), float("-inf"), {"&": None}]})
    assert not set("<>&") & set(made) and made.isascii()
    assert json.loads(made) == {"</script>": ["<!--", "a\\u2028b", "nan", "-inf", {"&": None}]}
