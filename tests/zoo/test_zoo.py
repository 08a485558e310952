"""The zoo as a user runs it: models that pass, are refused, crash, or want too much."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from caffe2fx.errors import CaffeError, CaffeFormatError
from fx2caffe import zoo
from fx2caffe.cli import main

MODELS = """
import os
import signal
import time
from pathlib import Path
import torch
from torch import nn

def plain():
    with open("made.txt", "a") as file:
        file.write("plain\\n")
    print("12 models print what they like")
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()), torch.randn(1, 3, 8, 8)

class Bad(nn.Module):
    def forward(self, x):
        return torch.lgamma(x) + torch.digamma(x)

def refused():
    return Bad(), torch.rand(1, 3, 8, 8)

def crashing():
    os.kill(os.getpid(), signal.SIGKILL)

def leaving():
    raise SystemExit("the model leaves")

def silent():
    os._exit(0)

class Dying(nn.Module):
    def forward(self, x):
        os._exit(3)

def dying():
    return Dying(), torch.rand(1, 3, 8, 8)

def raising():
    raise RuntimeError("no such dataset")

def sleeping():
    time.sleep(60)

def wide():
    return nn.Linear(1000, 1000), torch.rand(1, 1000)

def greedy():
    return nn.Linear(1 << 16, 1 << 16), torch.rand(1, 1 << 16)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with a user's own models."""
    (tmp_path / "my_zoo.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mine(*names: str) -> list[str]:
    return [f"my_zoo:{name}" for name in names]


def test_one_row_a_model_whatever_happens(folder: Path) -> None:
    seen: list[zoo.Row] = []
    names = mine("crashing", "plain", "refused", "leaving", "dying", "raising", "silent")
    rows = zoo.run(names, output="out", jobs=2, batch=3, progress=seen.append)
    assert [row.job.name for row in rows] == names
    assert sorted(map(str, seen)) == sorted(map(str, rows))
    crashing, plain, refused, leaving, dying, raising, silent = rows
    assert (crashing.verdict, crashing.reasons[0].split(":")[0]) == (
        "failed",
        "its process ended with signal SIGKILL",
    )
    assert leaving.reasons[0].startswith("my_zoo:leaving raised SystemExit: the model leaves (")
    assert silent.reasons == ("its process ended with status 0: it printed nothing",)
    assert dying.reasons[0].startswith("its process ended with status 3")
    assert raising.reasons[0].startswith("my_zoo:raising raised RuntimeError: no such dataset (")
    assert refused.verdict == "refused"
    assert [reason.split()[0] for reason in refused.reasons] == ["torch.lgamma", "torch.digamma"]
    assert (plain.verdict, plain.layers, plain.maps) == ("equal", 3, 2)
    assert 0 < plain.error < 1 and plain.export_seconds > 0 and plain.verify_seconds > 0
    assert plain.inputs == ((1, 3, 8, 8),) and not plain.batch_faults
    assert plain.reports == ("my_zoo-plain.html", "my_zoo-plain.batch-3.html")
    assert [row.reports for row in (refused, raising, dying)] == [("my_zoo-refused.html",), (), ()]
    for name, words in {
        **dict.fromkeys(plain.reports, "Equal"),
        "my_zoo-refused.html": "lgamma",
    }.items():
        assert words in Path("out", name).read_text("utf-8")


def test_resumes_where_it_was_left(folder: Path) -> None:
    def count_built() -> int:
        return len(Path("made.txt").read_text().split())

    names = mine("plain", "refused")
    rows = zoo.run(names, output="out")
    assert zoo.run(names, output="out") == rows and count_built() == 1
    assert rows[0].bytes == tuple(
        Path(f"out/my_zoo-plain.{end}").stat().st_size for end in ("prototxt", "caffemodel")
    )
    manifest = json.loads(Path("out/manifest.json").read_text())
    files = [Path(f"out/my_zoo-{name}.json") for name in ("plain", "refused")]
    assert manifest == [json.loads(path.read_text()) for path in files]
    assert manifest[0]["verdict"] == "equal" and manifest[0]["job"]["target"] == "bvlc"
    # Another question, a row that is gone, and a verdict that is not to be taken.
    files[1].unlink()
    asked = zoo.run([*names, *mine("raising")], output="out", batch=2)
    assert [(row.job.batch, row.verdict) for row in asked] == [
        (2, "equal"),
        (2, "refused"),
        (2, "failed"),
    ]
    assert count_built() == 2
    assert zoo.run(mine("raising"), output="out", batch=2, again=()) == asked[2:]
    head = "def raising():"
    Path("my_zoo.py").write_text(MODELS.replace(head, f"{head}\n    return plain()"))
    again = zoo.run([*names, *mine("raising")], output="out", batch=2)
    assert again[:2] == asked[:2] and count_built() == 3
    assert again[2].verdict == "equal", again[2].reasons


def test_an_interrupted_job_has_no_row(folder: Path) -> None:
    def interrupt(row: zoo.Row) -> None:
        raise KeyboardInterrupt

    names = mine("plain", "sleeping", "refused")
    with pytest.raises(KeyboardInterrupt):
        zoo.run(names, output="out", jobs=2, progress=interrupt)
    left = {path.name for path in Path("out").iterdir()}
    assert "my_zoo-plain.json" in left and "my_zoo-sleeping.json" not in left


def test_memory_and_size_are_limits(folder: Path) -> None:
    names = mine("greedy", "wide", "plain")
    greedy, plain = zoo.run(names, output="out", memory=4, largest=1)
    assert greedy.verdict == "failed" and "memory" in greedy.reasons[0]
    assert plain.verdict == "equal"  # and the wide one, of 4 MB, is left out


def test_options_that_are_refused(folder: Path) -> None:
    with pytest.raises(CaffeError, match="target needs to be one of"):
        zoo.run(mine("plain"), output="out", target="caffe3")
    with pytest.raises(CaffeError, match="engine needs to be one of"):
        zoo.run(mine("plain"), output="out", engine="caffe3")
    with pytest.raises(CaffeError, match="one model or more, got none"):
        zoo.run([], output="out")
    with pytest.raises(CaffeError, match="jobs needs to be 1 or more, got 0"):
        zoo.run(mine("plain"), output="out", jobs=0)
    with pytest.raises(CaffeError, match="memory needs a positive number"):
        zoo.run(mine("plain"), output="out", memory=-1)
    Path("out").mkdir(exist_ok=True)
    Path("out/my_zoo-plain.json").write_text("[]")
    with pytest.raises(CaffeFormatError, match="needs to be a row of a zoo"):
        zoo.run(mine("plain"), output="out")


def test_names_are_chosen_by_patterns() -> None:
    assert zoo.names(["torchvision"], ["resnet1*"]) == [
        "torchvision:resnet101",
        "torchvision:resnet152",
        "torchvision:resnet18",
    ]
    two = ["a.b:c", "torchvision:alexnet"]
    assert zoo.names(["a.b:c", "torchvision"], ["a.*", "alexnet"]) == two
    with pytest.raises(CaffeError, match="got 'resnet1'"):
        zoo.names(["torchvision"], ["resnet1"])
    with pytest.raises(CaffeError, match="source needs to be torchvision, timm or"):
        zoo.names(["torchvison"])


def test_timm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = """
from torch import nn
def list_models():
    return ["tiny"]
def create_model(name, pretrained):
    assert name == "tiny" and pretrained is False
    model = nn.Sequential(nn.Conv2d(3, 4, 80, stride=16), nn.ReLU())  # takes 80 pixels or more
    model.default_cfg = {"input_size": (3, 224, 224)}
    return model
"""
    with pytest.raises(CaffeError, match="source timm needs the package timm"):
        zoo.names(["timm"])
    (folder / "timm.py").write_text(stand_in)
    monkeypatch.syspath_prepend(str(folder))
    (row,) = zoo.run(zoo.names(["timm"]), output="out", small=True)
    assert (row.job.name, row.verdict, row.inputs) == ("timm:tiny", "equal", ((1, 3, 96, 96),))
    assert not Path("out/timm-tiny.caffemodel").exists()  # random weights


def test_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = Path("page.md")
    page.write_text("# Mine\n<!-- zoo: begin -->\nold\n<!-- zoo: end -->\nmore\n")
    options = ["-o", "out", "--engine", "torch", "--markdown", str(page)]
    assert main(["zoo", "--source", *mine("plain"), *options]) == 0
    assert "my_zoo:plain equal\n1 models: 1 equal." in capsys.readouterr().out
    assert main(["zoo", "--source", *mine("plain", "refused"), *options]) == 1
    text = page.read_text()
    head = "# Mine\n<!-- zoo: begin -->\n2 models: 1 equal, 1 refused.\n\n| model |"
    assert text.startswith(head)
    assert text.endswith("<!-- zoo: end -->\nmore\n") and "old" not in text
    assert "| `my_zoo:refused` | 1x3x8x8 | bvlc | torch | refused | " in text
    page.write_text("no marks")
    assert main(["zoo", "--source", *mine("plain"), *options]) == 1
    assert "needs the marks" in capsys.readouterr().err and page.read_text() == "no marks"
    page.unlink()
    for _ in range(2):
        assert main(["zoo", "--source", *mine("plain"), *options]) == 0
    assert page.read_text().count("my_zoo:plain") == 1
    assert main(["zoo", "nothing*", *options]) == 1
