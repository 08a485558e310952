"""Names out of files reach a terminal, HTML and code as text, whatever they hold."""

from __future__ import annotations

import ast
import html
import importlib.util
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import caffe2fx
import fx2caffe
from caffe2fx import cli
from caffe2fx.errors import CaffeError
from caffe2fx.report.escaping import cell, echo
from caffe2fx.report.page import ASSETS

ROOT = Path(fx2caffe.__file__).parents[1]
NAMES = {
    "closing markup": "[/bold]", "open markup": "[red]x", "a link": "[link=http://x]y[/link]",
    "an emoji's code": ":warning:", "colour": "a\x1b[31mb", "a title": "\x1b]0;owned\x07",
    "8-bit control": "a\x9b31mb", "overwriting": "good\rbad", "backspaces": "bad\b\b\bok",
    "two lines": "a\nall equal", "turned": "a\u202eb", "hidden": "a\u200bb", "zero": "a\0b",
    "HTML": "<script>alert(1)</script>", "an attribute": '"onload="x', "an entity": "&lt;",
    "letters": "层é", "a separator": "a\u2028b",
}  # fmt: skip
TEXT = """layer { name: "in" type: "Input" top: "d" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "%s" type: "Power" bottom: "d" top: "%s" power_param { scale: 2 } }"""


def written(folder: Path, name: str) -> tuple[str, str]:
    octal = "".join(f"\\{byte:03o}" for byte in name.encode())
    text, weights = folder / "net.prototxt", folder / "net.caffemodel"
    text.write_text(TEXT % (octal, octal))
    caffe2fx.save_weights(caffe2fx.load(text), weights)
    return str(text), str(weights)


def is_plain(text: str) -> bool:
    return all(one.isprintable() or one == "\n" for one in text)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_commands_show_a_name_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    files = written(tmp_path, name)
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    report = tmp_path / "report.html"
    for command in (
        ["inspect", *files],
        ["load", *files],
        ["compare", *files, "--engine", "torch", "--report", str(report)],
    ):
        assert cli.main(command) == 0
        out = capsys.readouterr().out
        assert is_plain(out)
        assert shown in out
    text = report.read_text()
    assert f"<td>{html.escape(shown)}</td>" in text
    assert is_plain(text.replace((ASSETS / "d3.min.js").read_text("utf-8"), ""))
    assert text.count("<script") == 3  # the page's own
    for made in (caffe2fx.load(*files), caffe2fx.compare(files, files, torch.ones(2, 3))):
        notebook = made._repr_html_()
        assert html.escape(shown) in notebook and is_plain(notebook) and "<script" not in notebook


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_errors_show_a_name_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    files = written(tmp_path, name)
    assert cli.main(["load", *files, "--outputs", name + "?"]) == 1
    assert cli.main(["inspect", str(tmp_path / f"{name}.prototxt").replace("\0", "")]) == 1
    assert is_plain(capsys.readouterr().err)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_any_stream_takes_any_text(encoding: str) -> None:
    stream = io.TextIOWrapper(raw := io.BytesIO(), encoding=encoding)
    echo("层 é \udcff \x1b", stream)
    assert raw.getvalue().decode(encoding).endswith("\\udcff \\x1b\n")


def test_a_cell_is_one_line_without_markup() -> None:
    made = cell("[bold]a\tb\nc\x1b[0m")
    assert made.plain == "[bold]a\\tb\\nc\\x1b[0m" and not made.spans


def test_commands_work_in_a_locale_of_ascii(tmp_path: Path) -> None:
    files = written(tmp_path, "层é[b]")
    run = "import sys; from caffe2fx.cli import main; sys.exit(main(sys.argv[1:]))"
    found = subprocess.run(
        [sys.executable, "-c", run, "inspect", *files],
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        capture_output=True,
    )
    assert found.returncode == 0 and rb"\u5c42\xe9[b]" in found.stdout, found.stderr


PRINTING = {"caffe2fx/engines/install/environment.py", "caffe2fx/report/escaping.py"}


def test_nothing_prints_but_echo() -> None:
    calls = {
        str(path.relative_to(ROOT))
        for package in ("caffe2fx", "fx2caffe")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
        if not any(keyword.arg == "file" for keyword in node.keywords)
        or "stderr" in ast.unparse(node)
    }
    assert calls <= PRINTING


CLASSES = ["Net", "super", "torch", "Path", "HERE", "FromFiles", "__x", "_x", "print", "légal"]


@pytest.mark.parametrize("name", CLASSES)
def test_the_class_of_any_python_name_works(tmp_path: Path, name: str) -> None:
    files = written(tmp_path, "layer")
    caffe2fx.caffe2pytorch(*files, tmp_path / f"{name}.py")
    spec: Any = importlib.util.spec_from_file_location("made", tmp_path / f"{name}.py")
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    assert torch.equal(getattr(module, name)()(torch.ones(2, 3)), torch.full((2, 3), 2.0))


@pytest.mark.parametrize("name", ["class", "None", "1x", "a b", "a-b", ""])
def test_names_that_no_class_can_have_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CaffeError, match=r"needs a name like"):
        caffe2fx.caffe2pytorch(*written(tmp_path, "layer"), tmp_path / f"{name}.py")
