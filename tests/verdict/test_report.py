"""A report shows which rows fail and which comes first, and is kept as text and data."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from math import inf, nan
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from caffe2fx.origin import Origin
from caffe2fx.verdict.result.context import Context, Input
from caffe2fx.verdict.result.report import Report, Row, Status
from caffe2fx.verdict.result.report_table import show


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
def test_differing_maps_are_distinguished_from_unproven_ones(
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
    """Collects the text of each cell."""

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
    assert cells.classes == ["equal", "fault"]
    assert cells.rows[0][:4] == ["a<b>&", "ReLU", "y", "2x3"]
    assert cells.rows[0][-1].strip() == "ok"
    loaded = json.loads((tmp_path / "r.json").read_text())
    assert (loaded["engine"], loaded["ok"]) == ("pycaffe", False)
    assert [entry["layer"] for entry in loaded["rows"]] == ["a<b>&", "b"]
    assert loaded["rows"][0]["origin"]["line"] == 3 and loaded["rows"][1]["fault"]
    text = (tmp_path / "r.txt").read_text()
    assert text == report.text(every=True) and repr(report) == f"<Report: {report.headline}>"
    assert "1 of 2 feature maps equal in engine pycaffe; first divergence: layer 'b'" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.html", "r.json", "r.txt"]


def test_json_has_everything(tmp_path: Path) -> None:
    seen = Input("data", (1, 3), 0.0, 1.0, "ab")
    context = Context(model="Net", target="bvlc", program="Caffe 1.0", inputs=(seen,),
                      seconds={"verify": 2.0}, layer_seconds={"b": 0.5})  # fmt: skip
    report = Report("pycaffe", [row(), row(layer="b", alone=1.0)], context)
    report.save(tmp_path / "r.json")
    loaded = json.loads((tmp_path / "r.json").read_text())
    assert loaded["first_divergence"]["layer"] == "b" and loaded["status"] == "differs"
    assert (loaded["model"], loaded["target"], loaded["program"]) == ("Net", "bvlc", "Caffe 1.0")
    assert loaded["inputs"][0]["sha256"] == "ab" and loaded["seconds"] == {"verify": 2.0}
    assert {"python", "torch", "numpy"} <= set(loaded["versions"])
    first, second = loaded["rows"]
    assert (first["kind"], second["kind"]) == ("equal", "fault")
    assert (first["seconds"], second["seconds"]) == (None, 0.5)
    assert second["share"] == pytest.approx(1e5) and second["measures"]["worst"] == []


def test_csv_has_a_line_a_map_and_no_formulas(tmp_path: Path) -> None:
    report = Report("e", [row(layer="=1+1"), row(layer='a,"b"\nc', alone=nan)])
    report.save(tmp_path / "r.csv")
    with (tmp_path / "r.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["layer"] for line in lines] == ["'=1+1", 'a,"b"\\nc']
    assert [line["status"] for line in lines] == ["equal", "differs"]
    assert (lines[0]["shape"], lines[0]["file"], lines[1]["alone"]) == ("2x3", "f.py", "nan")


def test_junit_has_a_case_a_map(tmp_path: Path) -> None:
    rows = [
        row(layer="\x1b"),
        row(layer="b", alone=1.0),
        row(layer="c", unverified="a placeholder"),
    ]
    Report("e", rows, Context(refusals=("no such layer",))).save(tmp_path / "r.xml")
    suite = ElementTree.parse(tmp_path / "r.xml").getroot()
    assert {"tests": "4", "failures": "2", "skipped": "1"}.items() <= suite.attrib.items()
    refused, first, second, third = suite
    assert refused[0].get("message") == "no such layer"
    assert first.get("name") == "\\x1b: y" and len(first) == 0
    assert second[0].tag == "failure" and "errs by 1.00e+00" in str(second[0].get("message"))
    assert third[0].tag == "skipped"


@pytest.mark.parametrize("at", [9, 0, 19])
def test_a_short_table_has_the_failing_maps_and_their_neighbours(
    at: int, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row(layer=f"layer{index}") for index in range(20)]
    rows[at] = row(layer=f"layer{at}", alone=1.0)
    after = at + 1
    if after < 20:
        rows[after] = row(layer=f"layer{after}", end_to_end=1.0)
    report = Report("e", rows)
    text = str(report).splitlines()
    assert text[0] == report.summary()
    names = [line.split()[0] for line in text[2:] if not line.startswith("...")]
    assert {f"layer{index}" for index in range(max(0, at - 1), min(20, at + 3))} == set(names)
    assert len(report.text(every=True).splitlines()) == 22
    show(report)
    assert capsys.readouterr().out == f"{report}\n"
    page = report._repr_html_()
    assert re.findall(r'<tr style="[^"]*"><td[^>]*>(.*?)</td>', page) == names
    assert page.count("\u2026</td>") == str(report).count("\n...")


def test_a_notebook_shows_refusals_and_a_report_without_rows() -> None:
    refused = Report("none", (), Context(refusals=("a <b>",), is_check=True))._repr_html_()
    assert refused == "<div><p>refused, for 1 reason</p><ol><li>a &lt;b&gt;</li></ol></div>"
    assert (
        Report("e", ())._repr_html_() == "<div><p>0 of 0 feature maps equal in engine e</p></div>"
    )


def test_a_layer_that_only_passes_a_fault_on_is_a_consequence() -> None:
    rows = [row(), row(alone=1.0), row(end_to_end=1.0), row(dead=True), row(alone=2.0)]
    report = Report("e", rows)
    kinds = [report.kind(one).value for one in rows]
    assert kinds == ["equal", "fault", "consequence", "unproven", "fault"]
    assert report.worst[0] is rows[4]
    alone = Report("e", [row(), rows[2]])  # bottoms in another order: no layer errs by itself
    assert [alone.kind(one).value for one in alone.rows] == ["equal", "fault"]


@pytest.mark.parametrize(
    ("changes", "share"),
    [({"alone": 5e-6, "end_to_end": 2e-6}, 0.5), ({"alone": nan}, inf), ({"alone": None}, 0.0),
     ({"alone_limit": 0.0}, 0.0), ({"alone": 1.0, "alone_limit": 0.0}, inf),
     ({"end_to_end": 1.0, "end_to_end_limit": inf}, 0.0)],
)  # fmt: skip
def test_the_share_of_a_limit(changes: dict[str, Any], share: float) -> None:
    assert row(**changes).share == pytest.approx(share)


def test_json_is_json_whatever_the_values(tmp_path: Path) -> None:
    """NaN and Infinity are not JSON: other readers than Python's would refuse the file."""
    Report("e", [row(alone=nan, end_to_end=inf)]).save(tmp_path / "r.json")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    json.loads((tmp_path / "r.json").read_text(), parse_constant=refuse)
