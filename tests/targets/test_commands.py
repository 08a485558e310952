"""The commands that a target names for its nets: each line runs in a shell as it is printed."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fx2caffe
from caffe2fx.engines.pycaffe import installed
from fx2caffe import Preprocessing
from fx2caffe.cli import main
from fx2caffe.targets import TARGETS
from fx2caffe.targets.command import Command, Feed, feed

ALL = {command.program: command for target in TARGETS.values() for command in target.commands}
PIXELS = Preprocessing(mean=(124, 116, 104), std=(58, 57, 56), scale=0.5, channel_order="BGR")
EVEN = Preprocessing(mean=128, std=64)
IMAGE, VALUES = ("data", (1, 3, 8, 9)), ("an 'x'", (1, 4))
FEEDS: dict[str, list[Feed]] = {
    "no image": [feed(*IMAGE, None, by_caller=False)],
    "the net's": [feed(*IMAGE, PIXELS, by_caller=False)],
    "the caller's": [feed(*IMAGE, EVEN, by_caller=True)],
    "a std each": [feed(*IMAGE, PIXELS, by_caller=True)],
    "grey": [feed("data", (2, 1, 8, 8), EVEN, by_caller=True)],
    "two inputs": [feed(*VALUES, None, by_caller=True), feed(*IMAGE, EVEN, by_caller=True)],
}
FOLDERS = ["a b", "o'clock $HOME"]
# A program that is not there prints its arguments.
STUB = "#!/bin/sh\nprintf '%s\\0' \"$@\"\n"


@pytest.fixture(scope="session")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with every program that the commands name."""
    folder = tmp_path_factory.mktemp("programs")
    for command in ALL.values():
        stub = folder / command.arguments[0]
        stub.write_text(STUB)
        stub.chmod(0o755)
    return folder


def run(line: str, stubs: Path, folder: Path) -> list[str]:
    """Return the arguments that the program gets where a shell runs the line."""
    path = f"{stubs}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", line], cwd=folder, env={**os.environ, "PATH": path}, capture_output=True,
        check=True, text=True,
    )  # fmt: skip
    arguments = done.stdout.split("\0")[:-1]
    if arguments[0] == "-c":
        compile(arguments[1], "", "exec")
    return arguments


def test_every_target_names_a_command() -> None:
    assert all(target.commands for target in TARGETS.values())


@pytest.mark.parametrize(
    ("feeds", "folder"),
    [(name, "out") for name in FEEDS] + [("two inputs", one) for one in FOLDERS],
)
@pytest.mark.parametrize("command", ALL.values(), ids=ALL)
def test_a_shell_runs_the_line_with_the_files_that_were_written(
    stubs: Path, tmp_path: Path, command: Command, feeds: str, folder: str
) -> None:
    (tmp_path / folder).mkdir()
    files = Path(folder) / "net.prototxt", Path(folder) / "net.caffemodel"
    arguments = run(command.text(*files, FEEDS[feeds]), stubs, tmp_path)
    texts = [path.read_text() for path in (tmp_path / folder).iterdir()]
    reported = "\n".join([*arguments, *texts])
    assert all(str(file) in reported for file in files)
    assert "{" not in reported.replace("aipp_op {", "")
    named = [one for one in arguments if one.endswith(".cfg")]
    assert all((tmp_path / one.rpartition("=")[2]).exists() for one in named)


ROWS: list[tuple[str, str, list[str]]] = [
    ("tpu-mlir", "no image", ["--input_shapes [[1,3,8,9]]"]),
    ("tpu-mlir", "the net's", ["--pixel_format bgr", "--mean 0,0,0", "--scale 1,1,1"]),
    ("tpu-mlir", "a std each",
     ["--pixel_format rgb", "--mean 248,232,208", "--scale 0.00862068966,0.00877192982,0.0"]),
    ("tpu-mlir", "grey", ["--pixel_format gray --mean 128 --scale 0.015625"]),
    ("OpenVINO 2022", "the caller's",
     ["--mean_values data[128,128,128]", "--scale_values data[64,64,64]"]),
    ("OpenVINO 2022", "two inputs",
     ["--input an 'x',data", "--input_shape [1,4],[1,3,8,9]", "--mean_values data[128"]),
    ("ATC", "two inputs",
     ["--input_shape=an 'x':1,4;data:1,3,8,9", "--insert_op_conf=net.aipp.cfg",
      "related_input_rank: 1\n", "min_chn_2: 128\n", "var_reci_chn_0: 0.015625\n",
      "src_image_size_h: 8\nsrc_image_size_w: 9\n", "rbuv_swap_switch: false\n"]),
    ("ATC", "the net's", ["rbuv_swap_switch: true\n", "min_chn_0: 0\n", "var_reci_chn_2: 1\n"]),
    ("ATC", "grey", ["input_format: YUV400_U8\n"]),
    ("nnie_mapper", "two inputs",
     ["[image_list] net.values0.txt\n[image_type] 0\n[norm_type] 0\n[mean_file] null\n",
      "[image_list] net.images1.txt\n[image_type] 1\n[RGB_order] RGB\n[norm_type] 5\n",
      "[mean_file] net.mean1.txt\n[data_scale] 0.015625\n", "128\n128\n128\n"]),
    ("nnie_mapper", "the net's", ["[RGB_order] BGR\n", "0\n0\n0\n", "[data_scale] 1\n"]),
    ("RKNN-Toolkit2", "the caller's",
     ["mean_values=[[128.0, 128.0, 128.0]]", "std_values=[[64.0, 64.0, 64.0]]"]),
    ("RKNN-Toolkit2", "the net's", ["quant_img_RGB2BGR=True", "std_values=[[1.0, 1.0, 1.0]]"]),
    ("OpenCV", "the net's", ["swapRB=False"]),
    ("OpenCV", "two inputs", ['["an \'x\'", [1, 4]]', "swapRB=True", "size=(9, 8)"]),
    ("MNN", "no image", ["-f CAFFE --modelFile net.caffemodel --prototxt net.prototxt"]),
    ("ncnn", "no image", ["net.prototxt net.caffemodel net.param net.bin"]),
]  # fmt: skip


@pytest.mark.parametrize(("program", "feeds", "wanted"), ROWS)
def test_shapes_and_arithmetic_stand_in_the_vendors_words(
    stubs: Path, tmp_path: Path, program: str, feeds: str, wanted: list[str]
) -> None:
    line = ALL[program].text(Path("net.prototxt"), Path("net.caffemodel"), FEEDS[feeds])
    reported = " ".join(run(line, stubs, tmp_path))
    reported += "".join(path.read_text() for path in sorted(tmp_path.iterdir()))
    assert not [text for text in wanted if text not in reported], reported


def test_a_std_for_each_channel_is_refused_where_the_program_has_one_factor() -> None:
    reasons = {name: one.why_not(FEEDS["a std each"]) for name, one in ALL.items()}
    assert {name for name, reason in reasons.items() if reason} == {"nnie_mapper"}
    assert "without --caller-preprocesses" in str(reasons["nnie_mapper"])
    assert not any(one.why_not(FEEDS["the net's"]) for one in ALL.values())


def saved(folder: Path, pixels: Preprocessing | None = None) -> tuple[Path, Path]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    files = folder / "net.prototxt", folder / "net.caffemodel"
    fx2caffe.export(model, torch.randn(1, 3, 8, 9), preprocessing=pixels).save(*files)
    return files


def program_of(command: Command, files: tuple[Path, Path], feeds: Sequence[Feed]) -> str:
    return shlex.split(command.text(*files, feeds))[2]


@pytest.mark.parametrize("by_caller", [True, False], ids=["the caller", "the net"])
@pytest.mark.parametrize("pixels", [PIXELS, EVEN], ids=["BGR", "RGB"])
def test_opencvs_command_gives_the_models_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels: Preprocessing, by_caller: bool
) -> None:
    import cv2

    files = saved(tmp_path, None if by_caller else pixels)
    image = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)  # BGR, as imread gives
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("IMAGE.png", image)
    feeds = [feed("data", (1, 3, 8, 9), pixels, by_caller=by_caller)]
    run_names: dict[str, Any] = {}
    exec(program_of(ALL["OpenCV"], files, feeds).replace('"IMAGE"', '"IMAGE.png"'), run_names)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    red_first = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None].float()
    wanted = model(pixels.apply(red_first.flip(1) if pixels.swaps else red_first))
    found = torch.from_numpy(run_names["net"].forward())
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.pycaffe
def test_caffes_command_runs_in_real_caffe(tmp_path: Path) -> None:
    files = saved(tmp_path)
    found = installed()
    program = program_of(ALL["Caffe"], files, [Feed("data", (1, 3, 8, 9))])
    done = subprocess.run([*found.command, "-c", program], env=found.env, capture_output=True)
    assert b"(1, 4, 6, 7)" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ([], "mean_values=[[0.0, 0.0, 0.0]], std_values=[[1.0, 1.0, 1.0]]"),
        (["--caller-preprocesses"], "mean_values=[[128.0, 128.0, 128.0]], std_values=[[64.0, "),
    ],
)
def test_an_export_prints_the_arithmetic_that_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    more: list[str], wanted: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    conv = nn.Conv2d(3, 4, 3).eval()
    monkeypatch.setattr("fx2caffe.cli.sources.torchvision_model", lambda name: conv)
    command = ["export", "torchvision:net", "--input", "1x3x8x8", "--target", "rknn"]
    assert main([*command, "--mean", "128", "--std", "64", *more]) == 0
    assert wanted in capsys.readouterr().out
