"""The examples of the pages for users run as they are, in their order, in one folder."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

import caffe2fx.cli
import fx2caffe.cli
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


PROGRAMS = {"fx2caffe": fx2caffe.cli.main, "caffe2fx": caffe2fx.cli.main}
FILES = """
import numpy as np, torch, fx2caffe
from torch import nn

def build_net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())

class Text(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(30522, 4)

    def forward(self, ids, mask):
        return self.table(ids) * mask[..., None]

def build_text_net():
    return Text()

if __name__ != "my_package.models":
    from PIL import Image
    np.save("mask.npy", np.ones((1, 16), "float32"))
    Image.new("RGB", (80, 80), (200, 100, 50)).save("photo.jpg")
    program = torch.export.export(build_net().eval(), (torch.randn(1, 3, 8, 8),))
    torch.export.save(program, "program.pt2")
    torch.save(build_net().state_dict(), "model.pth")
    torch.save(build_net().state_dict(), "net.pth")
    net = fx2caffe.export(build_net().eval(), torch.randn(1, 3, 8, 8))
    for name in ("a", "old", "net"):
        net.save(name + ".prototxt", name + ".caffemodel")
    net.dump("maps.npz")
    np.save("x.npy", net.example_inputs[0].numpy())
"""


def commands(page: str) -> list[str]:
    """Return the lines of a page's shell blocks that run one of the two programs alone."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text("utf-8"), re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.split()[0] in PROGRAMS]


@pytest.mark.sweep
@pytest.mark.pycaffe
def test_shell_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "models.py").write_text(FILES)
    exec(compile(FILES, "models.py", "exec"), {"__name__": "files"})
    assert len(commands("README.md")) >= 10
    for line in commands("README.md"):
        program, *arguments = shlex.split(line, comments=True)
        assert PROGRAMS[program](arguments) == 0, line
    del sys.modules["my_package"], sys.modules["my_package.models"]
