"""The page in a real browser: it draws, a click on a layer shows its measures, search finds it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from caffe2fx.report.layout import Node
from caffe2fx.report.page import Line, Page, rendered
from caffe2fx.verdict.result.report import Report
from tests.verdict.nets import at, right_net, verdict, with_step

pytestmark = pytest.mark.sweep
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Yield Chromium, driven by playwright."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser is there: none of {', '.join(BROWSERS)}")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Any]:
    """Yield a function from a file to its page, in which no error and no request may occur."""
    pages: list[Any] = []
    faults: list[str] = []

    def of(path: Path, **options: Any) -> Any:
        page = browser.new_page(viewport={"width": 1400, "height": 1000}, **options)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text))
        page.on("request", lambda request: faults.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready=yes]")
        pages.append(page)
        faults.remove(path.as_uri())
        return page

    yield of
    for page in pages:
        page.close()
    assert not faults


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    net, folder = right_net(), tmp_path_factory.mktemp("page")
    step = at(net, "branch")
    blobs = (step.blobs[0] * 1.5,)
    found = verdict(net, with_step(net, replace(step, blobs=blobs)), folder, "torch")
    found.save(folder / "r.html")
    return found, folder / "r.html"


def summary_of(page: Any) -> dict[str, str]:
    names, values = (page.locator(f"#numbers {tag}").all_inner_texts() for tag in ("dt", "dd"))
    return dict(zip(names, values, strict=True))


def test_a_click_on_a_layer_shows_its_measures(opened: Any, report: tuple[Report, Path]) -> None:
    found, path = report
    page = opened(path)
    title = page.locator("#layer .title")
    assert title.inner_text() == "branch"  # the page opens with the fault
    first = found.first_divergence
    assert first is not None and first.measures.worst
    assert summary_of(page)["worst element"] == str(list(first.measures.worst))
    assert page.locator("#layer canvas").count() == 3
    page.locator(".net .node .name").get_by_text("strided", exact=True).click()
    assert title.inner_text() == "strided"
    row = next(one for one in found.rows if one.layer == "strided")
    assert summary_of(page)["cosine"] == f"{row.measures.cosine:.8f}"
    assert page.locator(".net .node.chosen").count() == 1
    assert page.locator("tr.chosen td").first.inner_text() == "strided"


def test_search_the_table_and_the_chart_lead_to_a_layer(
    opened: Any, report: tuple[Report, Path]
) -> None:
    page = opened(report[1])
    title = page.locator("#layer .title")
    page.locator("#search").fill("softm")
    assert page.locator(".net .node.hit").count() == 1
    page.locator("#search").press("Enter")
    assert title.inner_text() == "prob"
    page.locator("tr[data-row]").nth(1).click()
    assert title.inner_text() == "bn"
    page.locator("#depth circle").first.click()
    assert title.inner_text() == "conv"
    page.locator("#layer button").nth(1).click()
    assert title.inner_text() == "bn"
    page.locator("#filter").select_option("failing")
    assert page.locator("tr.equal:visible").count() == 0


def test_a_click_on_every_kind_of_colour_scheme_and_on_paper(
    opened: Any, report: tuple[Report, Path]
) -> None:
    tones = []
    for scheme in ("light", "dark"):
        page = opened(report[1], color_scheme=scheme)
        tones.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert tones[0] != tones[1]
    page.emulate_media(media="print")
    assert not page.locator("#search").is_visible()
    assert page.locator("tr[data-row]").last.is_visible()


def test_three_thousand_layers_stay_usable(opened: Any, tmp_path: Path) -> None:
    """Zoom and choose within the time that a person calls at once."""
    count = 3000
    nodes = [Node(f"layer{i}", "ReLU", (i - 1,) if i else (), "equal s1") for i in range(count)]
    row: dict[str, Any] = {
        "type": "ReLU", "blob": "b", "shape": [1], "kind": "equal", "verdict": "ok", "signal": 1.0,
        "alone": 1e-6, "alone_limit": 1e-5, "end_to_end": 1e-6, "end_to_end_limit": 1e-5,
        "cosine": 1.0, "relu_cosine": 1.0, "l2": 0.0, "psnr": "inf", "worst": [], "values": [],
        "nan": [0, 0], "inf": [0, 0], "channels": 0, "wrong_channels": 0, "by_channel": [],
        "seconds": None, "module": "", "file": "", "line": 0, "source": "", "rules": [],
        "record": "", "details": None, "parameters": None, "more": {},
    }  # fmt: skip
    data = {
        "rows": [{**row, "layer": f"layer{i}"} for i in range(count)],
        "nodes": [[i] for i in range(count)],
        "first": 0,
        "differs": False,
    }
    lines = [Line("equal", (f"layer{i}", "ok")) for i in range(count)]
    made = Page("deep", "equal", "Equal", ["all"], {}, (), nodes, ("layer", "verdict"), lines, data)
    (tmp_path / "r.html").write_text(rendered(made), encoding="utf-8")
    page = opened(tmp_path / "r.html")
    page.locator("#search").fill("layer2718")
    page.locator("#search").press("Enter")
    assert page.locator("#layer .title").inner_text() == "layer2718"
    page.locator("#net svg").hover()
    for _ in range(10):
        page.mouse.wheel(0, 200)
    page.locator("#fit").click()
    assert page.locator(".net .node").count() == count
