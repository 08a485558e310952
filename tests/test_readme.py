"""The Python examples of the pages for users run as they stand, in their order, in one folder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import caffe2fx
from caffe2fx.layers import user_defined

ROOT = Path(__file__).parents[1]
FOLDERS = [ROOT / name for name in ("fx2caffe", "caffe2fx", "tests", "benchmarks")]
ALL = [ROOT / "README.md", *sorted(page for one in FOLDERS for page in one.rglob("*.md"))]
PAGES = {"README.md": 3, "fx2caffe/GUIDE.md": 4, "caffe2fx/GUIDE.md": 7}  # examples at least


def examples(page: str) -> list[str]:
    """Return the Python blocks of a page, but for a test module, which pytest runs."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.S)
    return [code for code in blocks if "def test_" not in code]


@pytest.mark.parametrize("page", PAGES)
def test_examples_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = examples(page)
    assert len(blocks) >= PAGES[page]
    try:
        for code in blocks:
            exec(compile(code, page, "exec"), {"__name__": "readme"})
    finally:
        for type_ in user_defined.types():
            caffe2fx.unregister(type_)


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", ALL, ids=_name)
def test_links_lead_to_pages_and_headings(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http:", "https:")):
            continue
        path, _, heading = target.partition("#")
        aimed = (page.parent / path).resolve() if path else page
        assert aimed.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", aimed.read_text("utf-8"), re.M)
            assert heading in {re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles}
