"""The page about a zoo: its links, its escaping, and its order in a real browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from fx2caffe import zoo
from fx2caffe.zoo import index
from fx2caffe.zoo.result import VERDICTS
from tests.report.test_browser import browser, opened

__all__ = ["browser", "opened"]  # fixtures


def row(name: str, verdict: str, error: float = 0.0, *reports: str) -> zoo.Row:
    reasons = () if verdict == "equal" else ("it <b>breaks</b>\u202e | all",)
    measured = {"layers": 3, "maps": 2, "bytes": (2000, 3_500_000)} if error else {}
    job = zoo.Job(name, batch=2)
    return zoo.Row(job, verdict, reasons, error=error, reports=reports, **measured)  # type: ignore[arg-type]


ROWS = [
    row("a:worse", "differs", float("nan"), "worse.html"),
    row("a:bad<i>", "failed"),
    row("a:ten", "equal", 0.5, "ten #1.html", "gone.html"),
    row("a:nine", "equal", 0.0625, "nine.html", "nine.batch-2.html"),
]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    for name in ("worse.html", "ten #1.html", "nine.html", "nine.batch-2.html", "a-ten.prototxt"):
        (tmp_path / name).touch()
    index.save(ROWS, tmp_path / "index.html")
    return tmp_path / "index.html"


def test_links_the_files_that_exist(written: Path) -> None:
    links = re.findall('<a href="([^"]*)">([^<]*)</a>', written.read_text("utf-8"))
    assert links == [
        ("worse.html", "report"),
        ("ten%20%231.html", "report"),
        ("a-ten.prototxt", "prototxt"),
        ("nine.html", "report"),
        ("nine.batch-2.html", "batch 2"),
    ]


def test_texts_of_a_model_are_escaped(written: Path) -> None:
    text = written.read_text("utf-8")
    assert "a:bad&lt;i&gt;" in text and "it &lt;b&gt;breaks&lt;/b&gt;\\u202e | all" in text
    assert (
        "4 models: 2 equal, 1 differs, 1 failed." in text
        and 'class="panel wide verdict differs"' in text
    )
    assert not re.search(r"https?://|\bsrc=", text)


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [("equal", "equal"), ("equal|not proven", "not-proven")]
    + [(f"equal|{one}", "differs") for one in VERDICTS[3:]],
)
def test_the_page_is_marked_by_its_worst_row(tmp_path: Path, verdicts: str, status: str) -> None:
    rows = [row("a:b", verdict) for verdict in verdicts.split("|")]
    assert f'panel wide verdict {status}"' in index.page(rows, tmp_path)


@pytest.mark.sweep
def test_a_click_sorts(opened: Any, written: Path) -> None:
    tones = []
    for scheme in ("light", "dark"):
        page = opened(written, color_scheme=scheme)
        tones.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert tones[0] != tones[1]

    def models() -> list[str]:
        return [text[2:5] for text in page.locator("tbody td:first-child").all_inner_texts()]

    assert models() == ["wor", "bad", "ten", "nin"]
    heads = page.locator(".sort")
    heads.nth(5).click()
    assert models() == ["bad", "nin", "ten", "wor"]
    heads.nth(5).click()
    assert models() == ["wor", "ten", "nin", "bad"]
    heads.nth(4).click()
    assert models() == ["ten", "nin", "wor", "bad"]
    heads.nth(0).click()
    assert models() == ["bad", "nin", "ten", "wor"]
