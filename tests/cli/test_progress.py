"""Progress: made by long operations, shown as lines, and nothing left behind after Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import fx2caffe
from caffe2fx.cli.progress_display import Bar, Lines
from caffe2fx.progress import Progress, listening
from fx2caffe.cli import main


def test_export_and_verify_report_their_progress() -> None:
    seen: list[Progress] = []
    with listening(seen.append):
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
        assert fx2caffe.export(model, torch.randn(1, 3, 8, 8)).verify("torch").ok
    reported = list(map(str, seen))
    assert reported[:2] == ["export 0 of 4: trace", "export 1 of 4: find the batch"]
    assert "verify 1 of 3: 0" in reported and "verify alone 2 of 3: 1" in reported
    before = len(seen)
    fx2caffe.export(model, torch.randn(1, 3, 8, 8))
    assert len(seen) == before  # nobody listens any more


def test_a_line_comes_after_a_second_and_then_every_ten() -> None:
    lines: list[str] = []
    now = 0.0
    shown = Lines(lines.append, lambda: now)
    for second in range(25):
        now = second / 1
        shown.tick(Progress("verify", second, 25, "conv"))
    assert lines == [f"verify {second} of 25: conv" for second in (1, 11, 21)]


class Drawn:
    """Records what a bar has rich draw."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")

    def add_task(self, description: str, total: int | None) -> int:
        self.calls.append("stage")
        return self.calls.count("stage")

    def update(self, task: int, completed: int, total: int, description: str) -> None:
        self.calls.append((task, completed, total, description))


def test_a_bar_comes_after_a_second_and_has_a_line_for_each_stage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn, now = Drawn(), 0.0
    monkeypatch.setattr("caffe2fx.cli.progress_display._bars", lambda: drawn)
    bar = Bar(lambda: now)
    for now, stage in ((0.9, "export"), (1.0, "export"), (1.1, "export"), (1.2, "verify")):
        bar.tick(Progress(stage, int(now * 10), 25, "[red]"))
    bar.close()
    exports = [(1, done, 25, r"export \[red]") for done in (10, 11)]
    verifies = (2, 12, 25, r"verify \[red]")
    assert drawn.calls == ["start", "stage", *exports, "stage", verifies, "stop"]
    Bar(lambda: 0.0).close()  # nothing was drawn
    assert drawn.calls.count("stop") == 1


SLOW = """
import sys, time
from torch import nn
class Slow(nn.Module):
    def forward(self, x):
        print("running", flush=True)
        time.sleep(60)
        return x
"""


# A shell that starts tests in the background has them ignore SIGINT, which a child inherits.
LISTENING = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("fx2caffe", run_name="__main__", alter_sys=True)
"""


def test_an_interruption_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "slow_model.py").write_text(SLOW)
    command = ["export", "slow_model:Slow", "--input", "1x3", "-o", "out", "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-c", LISTENING, *command],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "running\n"
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "fx2caffe: interrupted\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("ascend", "next, ATC: atc --framework=0 --model=net.prototxt --weight=net.caffemodel"),
        ("sophgo", "--input_shapes '[[1,3,8,8]]' --mlir net.mlir"),
        ("bvlc", "next: caffe2fx compare net.prototxt net.caffemodel --engine pycaffe"),
    ],
)
def test_after_an_export_the_files_and_the_next_command_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    target: str, wanted: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "fx2caffe.cli.sources.torchvision_model", lambda name: nn.Conv2d(3, 4, 3).eval()
    )
    command = ["export", "torchvision:net", "--input", "1x3x8x8", "--target", target]
    assert main([*command, "--log-file", "log.txt"]) == 0
    reported = capsys.readouterr().out
    assert wanted in reported and "2 layers, " in reported and "net.prototxt 0." in reported
    assert wanted in Path("log.txt").read_text()
    assert main([*command, "--quiet"]) == 0
    assert capsys.readouterr().out == ""
