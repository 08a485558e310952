"""How a report tells which rows fail and which comes first, and how it is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

from caffe2fx.origin import Origin
from caffe2fx.verdict.report import Report, Row, Status


def row(**changes: object) -> Row:
    made = Row(
        layer="a<b>&", type="ReLU", blob="y", shape=(2, 3), signal=2.0, alone=0.0,
        alone_limit=1e-5, end_to_end=0.0, end_to_end_limit=1e-5,
        origin=Origin("m", "f.py", 3, "x<y"),
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def test_the_layer_that_is_wrong_alone_comes_before_those_that_only_pass_it_on() -> None:
    early = row(layer="early", end_to_end=1.0)
    late = row(layer="late", alone=1.0)
    assert Report("e", [early, late]).first_divergence is late
    assert Report("e", [early]).first_divergence is early


def test_a_report_without_rows_is_not_ok() -> None:
    assert not Report("torch", []).ok
    assert Report("torch", [row()]).ok


@pytest.mark.parametrize("bad", [nan, inf, 1.0])
def test_a_row_fails_unless_both_errors_are_within_limits(bad: float) -> None:
    assert not row().fault and not row(alone=1e-5, end_to_end=1e-5).fault
    assert row(alone=bad).fault and row(alone=bad).diverges
    assert row(end_to_end=bad).fault and not row(end_to_end=bad).diverges
    assert row(alone_limit=nan).fault and row(end_to_end_limit=nan).fault


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, Status.EQUAL),
        ({"alone": None, "end_to_end": None}, Status.EQUAL),
        ({"alone": 1.0}, Status.DIFFERS),
        ({"dead": True}, Status.NOT_PROVEN),
        ({"dead": True, "end_to_end": 1.0}, Status.DIFFERS),
        ({"wrong": "it is not there"}, Status.DIFFERS),
        ({"unverified": "a placeholder", "alone": None}, Status.UNVERIFIED),
    ],
)
def test_what_differs_is_told_from_what_nothing_proves(
    changes: dict[str, Any], status: Status
) -> None:
    made = row(**changes)
    assert made.status is status
    assert bool(made.fault) == (status in (Status.DIFFERS, Status.NOT_PROVEN))
    report = Report("e", [row(), made])
    ok = status in (Status.EQUAL, Status.UNVERIFIED)  # the rest is proven
    assert report.ok == ok and report.status is (Status.EQUAL if ok else status)
    assert (report.first_divergence is made) == (status is Status.DIFFERS)
    assert (report.first_unproven is made) == (status is Status.NOT_PROVEN)
    counted = {Status.NOT_PROVEN: "1 NOT PROVEN", Status.UNVERIFIED: "1 NOT VERIFIED"}
    assert counted.get(status, "of 2") in report.summary()


class Cells(HTMLParser):
    """The text of each cell."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.classes: list[str | None] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr" and dict(attrs).get("class"):
            self.rows.append([])
            self.classes.append(dict(attrs)["class"])
        elif tag == "td":
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def test_saved_as_html_json_or_text(tmp_path: Path) -> None:
    report = Report("pycaffe", [row(), row(layer="b", alone=nan)])
    for name in ("r.html", "r.json", "r.txt"):
        report.save(tmp_path / name)
    cells = Cells((tmp_path / "r.html").read_text())
    assert cells.classes == ["good", "bad"]
    assert cells.rows[0][:4] == ["a<b>&", "ReLU", "y", "2x3"]
    assert cells.rows[0][-1].strip() == "in m, f.py:3: x<y"
    loaded = json.loads((tmp_path / "r.json").read_text())
    assert (loaded["engine"], loaded["ok"]) == ("pycaffe", False)
    assert [entry["layer"] for entry in loaded["rows"]] == ["a<b>&", "b"]
    assert loaded["rows"][0]["origin"]["line"] == 3 and loaded["rows"][1]["fault"]
    text = (tmp_path / "r.txt").read_text()
    assert text == str(report)
    assert "1 of 2 feature maps equal in engine pycaffe; first divergence: layer 'b'" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.html", "r.json", "r.txt"]


def test_json_is_json_whatever_the_numbers(tmp_path: Path) -> None:
    """NaN and Infinity are not JSON: other readers than Python's would refuse the file."""
    Report("e", [row(alone=nan, end_to_end=inf)]).save(tmp_path / "r.json")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    json.loads((tmp_path / "r.json").read_text(), parse_constant=refuse)
