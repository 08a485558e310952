"""The two command lines, as a user runs them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

from caffe2fx.cli import main as caffe2fx
from caffe2fx.cli.inspect_command import layer_table
from caffe2fx.module.loader import describe
from fx2caffe import export
from fx2caffe.cli import main as fx2caffe

MODEL = """
import torch
from torch import nn

def build_net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())

def build_bad():
    class Bad(nn.Module):
        def forward(self, x):
            return torch.lgamma(x)
    return Bad()
"""
SIZE = ("--input", "1x3x8x8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a user's package and one exported net."""
    (tmp_path / "my_models.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    torch.manual_seed(0)
    assert fx2caffe(["export", "my_models:build_net", *SIZE, "-o", "out"]) == 0
    return tmp_path


FILES = ["out/build_net.prototxt", "out/build_net.caffemodel"]


def test_export_writes_and_verifies(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["-o", "new", "--verify", "torch", "--report", "new.html", "--name", "mine"]
    assert fx2caffe(["export", "my_models:build_net", *SIZE, *options]) == 0
    assert "2 of 2 feature maps equal in engine torch" in capsys.readouterr().out
    assert (folder / "new/mine.prototxt").exists() and (folder / "new/mine.caffemodel").exists()
    assert "<table>" in (folder / "new.html").read_text()


def test_options_of_export(folder: Path) -> None:
    options = ["--outputs", "1", "--map", "m.tsv", "--verify", "torch"]
    names = ["--name-limit", "16", "--name-alphabet", "[a-z0-9]"]
    pixels = ["--mean", "1", "2", "3", "--std", "4", "--scale", "2", "--channel-order", "BGR"]
    assert fx2caffe(["export", "my_models:build_net", *SIZE, *options, *names, *pixels]) == 0
    assert "ReLU" not in Path("build_net.prototxt").read_text()
    assert "Convolution" in Path("m.tsv").read_text()


def test_weights_option(folder: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    torch.save(model.state_dict(), "net.pth")
    before = Path(FILES[1]).read_bytes()
    options = ["-o", "out", "--weights", "net.pth", "--input-names", "image"]
    assert fx2caffe(["export", "my_models:build_net", *SIZE, *options]) == 0
    assert Path(FILES[1]).read_bytes() != before
    assert 'top: "image"' in Path(FILES[0]).read_text()


def test_refusals_write_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fx2caffe(["export", "my_models:build_bad", *SIZE, "-o", "bad"]) == 1
    assert "torch.lgamma" in capsys.readouterr().err
    assert not (folder / "bad").exists()


def test_check(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fx2caffe(["check", "my_models:build_bad", *SIZE]) == 1
    assert "1 refusals" in capsys.readouterr().out
    assert fx2caffe(["check", "my_models:build_net", *SIZE]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "my_models:build_net", "--input", "1x4x8x8"], "does not run on these inputs"),
    ],
)
def test_bad_arguments(
    folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fx2caffe(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("fx2caffe: error: ") and message in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "my_models:build_net", "--input", "1x3x"], "needs positive sizes"),
        (["export", "my_models:build_net", "--input", "1x0x8"], "needs positive sizes"),
        (["export", "my_models:build_net", *SIZE, "--input-ranges", "x"], "BLOB=LOW:HIGH"),
        (["zoo", "--jobs", "0"], "needs a whole number of 1 or more, got '0'"),
        (["zoo", "--memory", "-1"], "needs a number above 0, got '-1'"),
    ],
)
def test_wrong_usage(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        fx2caffe(arguments)
    assert ended.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize("batch", ["0", "-1", "two"])
@pytest.mark.parametrize("command", ["load", "inspect", "compare"])
def test_a_batch_is_positive(command: str, batch: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        caffe2fx([command, *FILES, "--batch", batch])
    assert ended.value.code == 2 and "of 1 or more" in capsys.readouterr().err


def test_inspect(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert caffe2fx(["inspect", *FILES]) == 0
    out = capsys.readouterr().out
    assert "Convolution(num_output=4, kernel_size=(3,))" in out and "4x3x3x3, 4" in out
    assert "3 layers, 112 parameters, 3,888 multiply-adds, blobs" in out
    assert caffe2fx(["inspect", FILES[0], "--draw", "net.svg"]) == 0
    assert Path("net.svg").read_text("utf-8").startswith("<svg")
    assert caffe2fx(["inspect", FILES[0], "--draw", "net.png"]) == 1
    assert "--draw needs a name ending in .svg, got 'net.png'" in capsys.readouterr().err


def test_a_name_is_never_cut(folder: Path) -> None:
    name = "q" * 200
    Path("long.prototxt").write_text(
        f'layer {{ name: "{name}" type: "Input" top: "d" input_param {{ shape {{ dim: 1 }} }} }}'
    )
    stream = io.StringIO()
    Console(file=stream, width=60).print(layer_table(describe("long.prototxt", None)))
    assert stream.getvalue().count("q") == 200


def test_a_refused_model_gives_a_report_too(folder: Path) -> None:
    model = ["my_models:build_bad", *SIZE]
    for command in (["check"], ["export", "--verify", "torch"]):
        assert fx2caffe([command[0], *model, *command[1:], "--report", "refused.html"]) == 1
        text = Path("refused.html").read_text("utf-8")
        assert "Refused" in text and "What cannot be exported" in text
        Path("refused.html").unlink()
    assert fx2caffe(["check", "my_models:build_net", *SIZE, "--report", "right.html"]) == 0
    assert "Not refused" in Path("right.html").read_text("utf-8")


@pytest.mark.parametrize("many", [[], ["--verbose"]])
def test_compare_shows_the_notable_maps_or_all(
    many: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = torch.nn.Sequential(*[torch.nn.Conv2d(3, 3, 1) for _ in range(20)]).eval()
    export(model, torch.randn(1, 3, 4, 4)).save(*FILES)
    assert caffe2fx(["compare", *FILES, "--engine", "torch", *many]) == 0
    out = capsys.readouterr().out
    first = out.splitlines()[0]
    assert first == "20 of 20 feature maps equal in engine torch"
    assert (len(out.splitlines()) == 22) == bool(many) and ("..." in out) != bool(many)


def test_load(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert caffe2fx(["load", *FILES, "-o", "net.pt2", "--code"]) == 0
    assert "outputs: 0 1x4x6x6" in capsys.readouterr().out
    program = torch.export.load("net.pt2").module()
    assert program(torch.randn(1, 3, 8, 8)).shape == (1, 4, 6, 6)
    assert caffe2fx(["load", *FILES, "-o", "net.pt"]) == 0
    assert len(torch.load("net.pt")) == 2
    assert caffe2fx(["load", *FILES, "-o", "net.onnx"]) == 1


def test_compare(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert caffe2fx(["compare", *FILES, "--engine", "torch", "--report", "r.json"]) == 0
    assert "2 of 2 feature maps equal" in capsys.readouterr().out
    assert caffe2fx(["compare", *FILES, FILES[0], "--engine", "torch"]) == 1


def test_sizes_and_states(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert caffe2fx(["load", *FILES, "--batch", "3", "--shape", "data=1x3x10x9"]) == 0
    assert "inputs: data 3x3x10x9" in capsys.readouterr().out
    assert caffe2fx(["inspect", FILES[0], "--phase", "TRAIN", "--level", "1", "--stage", "a"]) == 0
    assert caffe2fx(["compare", *FILES, "--engine", "torch", "--batch", "2"]) == 0
    assert caffe2fx(["load", *FILES, "--shape", "x=1x3x10x9"]) == 1
    assert "shapes needs inputs of the net" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        caffe2fx(["load", *FILES, "--shape", "data"])


def test_weights_that_do_not_fit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = Path(FILES[0])
    text.write_text(text.read_text().replace("num_output: 4", "num_output: 5"))
    assert caffe2fx(["load", *FILES]) == 1
    capsys.readouterr()
    assert caffe2fx(["load", *FILES, "--no-strict"]) == 0
    assert "5x3x3x3, 5 in the net, 4x3x3x3, 4 in the file" in capsys.readouterr().out


def test_missing_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert caffe2fx(["inspect", "none.prototxt"]) == 1
    assert "none.prototxt" in capsys.readouterr().err


def test_engine_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert caffe2fx(["engine", "list"]) == 0
    out = capsys.readouterr().out
    assert "torch " in out and "pycaffe" in out
