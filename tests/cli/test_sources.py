"""The command line takes models, weights and inputs by file or name, and refuses wrong ones."""

from __future__ import annotations

import argparse
import sys
import warnings
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from caffe2fx.errors import CaffeFormatError
from caffe2fx.weights.state_dict import read_state_dict
from fx2caffe.cli import main
from fx2caffe.cli.input_spec import InputSpec, input_spec
from fx2caffe.cli.program_files import from_program, from_script

MODELS = """
import torch
from torch import nn

def build():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())

def with_inputs():
    return build(), torch.randn(1, 3, 9, 9)

def raises():
    raise KeyError("no such variant")

def exits():
    raise SystemExit(4)

class Sized(nn.Module):
    def __init__(self, classes, width=2):
        super().__init__()

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.conv = nn.Embedding(10, 3), nn.Conv2d(3, 4, 3)

    def forward(self, ids, x):
        return self.embed(ids), self.conv(x)

class Failing(nn.Module):
    def forward(self, x):
        raise LookupError("need 224")

class Exiting(nn.Module):
    def forward(self, x):
        raise SystemExit("usage")
"""
SIZE = ("--input", "1x3x8x8")


def build() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())


def scripted() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return torch.jit.trace(build().eval(), torch.randn(1, 3, 8, 8))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a user's modules: one that is right, and four that cannot be imported."""
    (tmp_path / "own_models.py").write_text(MODELS)
    (tmp_path / "broken_syntax.py").write_text("def f(:\n")
    (tmp_path / "broken_import.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "broken_script.py").write_text("raise SystemExit(2)\n")
    (tmp_path / "broken_line.py").write_text("sizes = {}\nside = sizes['x']\n")
    monkeypatch.delitem(sys.modules, "own_models", raising=False)  # of the folder before
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


State = dict[str, torch.Tensor]
CHECKPOINTS = {
    "plain": lambda state: state,
    "data parallel": lambda state: {f"module.{key}": value for key, value in state.items()},
    "compiled": lambda state: {f"module._orig_mod.{key}": value for key, value in state.items()},
    "of a training": lambda state: {
        "model": {f"net.{key}": value for key, value in state.items()},
        "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}},
        "epoch": 3,
    },
    "nested twice": lambda state: {"checkpoint": {"state_dict": state, "step": 1}},
}


@pytest.mark.parametrize("wrap", CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_weights_are_found_in_a_checkpoint(folder: Path, wrap: Any) -> None:
    state = build().state_dict()
    state["0.bias"].fill_(3.25)
    torch.save(wrap(state), "net.pth")
    assert main(["export", "own_models:build", "--weights", "net.pth", *SIZE]) == 0
    assert np.float32(3.25).tobytes() * 4 in Path("build.caffemodel").read_bytes()


def held(folder: Path, name: str) -> None:
    state = build().state_dict()
    {
        "whole": lambda: torch.save(build(), "net.pth"),
        "text": lambda: Path("net.pth").write_text("garbage"),
        "empty": lambda: Path("net.pth").touch(),
        "number": lambda: torch.save(3, "net.pth"),
        "two": lambda: torch.save({"net": state, "ema": state}, "net.pth"),
        "misspelled": lambda: torch.save(
            {"0.wieght": state["0.weight"], "0.bias": state["0.bias"]}, "net.pth"
        ),
        "shaped": lambda: torch.save({**state, "0.bias": torch.ones(5)}, "net.pth"),
        "absent": lambda: None,
    }[name]()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("whole", "needs to hold tensors alone, got an object of torch.nn.modules.container"),
        ("text", "needs to be a file of torch.save"),
        ("empty", "needs to be a file of torch.save"),
        ("number", "needs to hold a state_dict, got int"),
        ("two", "needs to hold one state_dict, got net, ema"),
        ("misspelled", "0.weight is missing, the nearest key is 0.wieght"),
        ("shaped", "0.bias needs shape (4,), got (5,)"),
        ("absent", "No such file"),
    ],
)
def test_wrong_checkpoints(
    folder: Path, name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    held(folder, name)
    assert main(["export", "own_models:build", "--weights", "net.pth", *SIZE]) == 1
    error = capsys.readouterr().err
    assert error.startswith("fx2caffe: error: ") and message in error and "net.pth" in error
    assert "Traceback" not in error and not list(folder.glob("*.prototxt"))


def test_a_dict_that_is_a_state_is_taken_whole(folder: Path) -> None:
    """Beside its tensors a checkpoint's counters are no reason to look further in."""
    torch.save({**build().state_dict(), "epoch": 3}, "net.pth")
    assert set(read_state_dict("net.pth")) == {"0.weight", "0.bias"}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("own_models:buidl", "own_models has no 'buidl' (did you mean 'build'?)"),
        ("own_models:raises", "own_models:raises raised KeyError: 'no such variant'"),
        ("own_models:raises", ': raise KeyError("no such variant")'),
        ("own_models:exits", "own_models:exits raised SystemExit: 4 ("),
        ("broken_script:f", "importing broken_script failed: SystemExit: 2 ("),
        ("own_models:Sized", "got one that asks for classes: name a function"),
        ("own_models:nn", "needs to be an nn.Module or to give one, got module"),
        ("own_models:Failing", "LookupError: need 224"),
        ("own_models:Failing", ': raise LookupError("need 224")'),
        ("own_models:Exiting", ': raise SystemExit("usage")'),
        ("own_models:Two", "missing 1 required positional argument: 'x'"),
        ("own_models", "PACKAGE.MODULE:FACTORY"),
        ("own models:build", "PACKAGE.MODULE:FACTORY"),
        ("broken_syntax:f", "importing broken_syntax failed: SyntaxError: invalid syntax"),
        ("broken_syntax:f", "broken_syntax.py:1)"),
        ("broken_import:f", "failed: ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("broken_line:f", "broken_line.py:2: side = sizes['x']"),
        ("no_such_module:f", "PACKAGE.MODULE:FACTORY, got 'no_such_module:f': No module named"),
        ("torchvision:resnet19", "torchvision has no model 'resnet19' (did you mean resnet"),
        ("timm:resnet18", "needs the package timm"),
        ("net.pt2", "No such file"),
        ("net.onnx", "No such file"),
    ],
)
def test_wrong_models(
    folder: Path, model: str, message: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "timm", None)
    for command in ("export", "check"):
        assert main([command, model, *SIZE]) == 1
        error = capsys.readouterr().err
        assert message in error and "Traceback" not in error, error
        assert "unknown position" not in error


def test_debug_shows_the_traceback(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "own_models:raises", *SIZE, "--debug"]) == 1
    error = capsys.readouterr().err
    assert "Traceback" in error and error.splitlines()[-1].startswith("fx2caffe: error: own_models")


def test_inputs_of_the_factory_are_used(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "own_models:with_inputs", "--verify", "torch"]) == 0
    assert "dim: 9" in Path("with_inputs.prototxt").read_text()
    assert main(["export", "own_models:with_inputs", *SIZE]) == 0
    assert "dim: 9" not in Path("with_inputs.prototxt").read_text()
    assert main(["export", "own_models:build"]) == 1
    assert "own_models:build gives no inputs: needs --input" in capsys.readouterr().err


def test_programs_and_scripts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs = (torch.randn(1, 3, 8, 8),)
    torch.export.save(torch.export.export(build().eval(), inputs), "program.pt2")
    scripted().save("script.pt")
    torch.save(build().state_dict(), "weights.pt")
    Path("garbage.pt2").write_text("garbage")
    assert main(["export", "program.pt2", "--verify", "torch"]) == 0
    assert main(["export", "script.pt", *SIZE, "--verify", "torch"]) == 0
    assert capsys.readouterr().out.count("2 of 2 feature maps equal") == 2
    assert "Convolution" in Path("script.prototxt").read_text()
    for name, message in (
        ("script.pt", "gives no inputs: needs --input"),
        ("garbage.pt2", "needs to be a file of torch.export.save, got"),
    ):
        assert main(["export", name]) == 1
        assert message in capsys.readouterr().err
    assert main(["export", "weights.pt", *SIZE]) == 1
    assert "needs to be TorchScript, got weights" in capsys.readouterr().err


def test_random_weights_keep_their_signal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As its author starts this net, nothing moves with the input."""

    def dead(name: str) -> nn.Module:
        model = build()
        nn.init.zeros_(model[0].weight)  # type: ignore[arg-type]
        return model

    monkeypatch.setattr("fx2caffe.cli.sources.torchvision_model", dead)
    command = ["export", "torchvision:dead", "--input", "1x3x8x8", "--verify", "torch"]
    assert main(command) == 0
    torch.save(dead("").state_dict(), "net.pth")
    assert main([*command, "--weights", "net.pth"]) == 3  # weights that are given stay


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1x3x8x8", InputSpec("", (1, 3, 8, 8))),
        ("7", InputSpec("", (7,))),
        ("ids=1x16@0:30521", InputSpec("ids", (1, 16), (0, 30521))),
        ("1x2@-3:3", InputSpec("", (1, 2), (-3, 3))),
        ("x=a/b.npy", InputSpec("x", path=Path("a/b.npy"))),
        ("all.npz", InputSpec(path=Path("all.npz"))),
        ("p@2.JPG@8x9", InputSpec(path=Path("p@2.JPG"), size=(8, 9))),
        *[
            (text, None)
            for text in (
                "1x0",
                "1x",
                "x",
                "1x2@3:1",
                "1x2@3",
                "a.npy@2x2",
                "a.txt",
                "a.png@0x2",
                "",
            )
        ],
    ],
)
def test_input_is_read(text: str, wanted: InputSpec | None) -> None:
    if wanted is not None:
        assert input_spec(text) == wanted
        return
    with pytest.raises(argparse.ArgumentTypeError):
        input_spec(text)


def test_inputs_from_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, ids = np.random.randn(1, 3, 8, 8).astype("float32"), np.array([[1, 2]])
    np.save("x.npy", x)
    np.savez("both.npz", x=x, ids=ids)
    np.savez("odd.npz", x=np.array(["text"]))
    for inputs in (
        ["both.npz"],
        ["1x2@0:9", "x.npy"],
        ["x=x.npy", "ids=1x2@0:9"],
    ):
        given = [part for one in inputs for part in ("--input", one)]
        assert main(["export", "own_models:Two", *given, "--verify", "torch"]) == 0
    for name, message in (
        ("odd.npz", "needs to hold numbers"),
        ("none.npy", "No such file"),
        ("x=x.npy --input 1x2", "needs a different name for every input, or none"),
    ):
        assert main(["export", "own_models:Two", "--input", *name.split()]) == 1
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_an_image_goes_through_the_arithmetic(folder: Path, order: str) -> None:
    """The net takes pixels in the caller's order, the model (pixels - mean) / std in RGB."""
    image = pytest.importorskip("PIL.Image")
    pixels = np.arange(3 * 6 * 5, dtype="uint8").reshape(6, 5, 3)
    image.fromarray(pixels).save("p.png")
    from fx2caffe.cli.inputs import inputs_of
    from fx2caffe.preprocessing import Preprocessing

    made = Preprocessing(mean=(1, 2, 3), std=4, channel_order=order)  # type: ignore[arg-type]
    (found,) = inputs_of([input_spec("p.png")], 0, made)
    wanted = (pixels.transpose(2, 0, 1)[None] - np.array([1, 2, 3]).reshape(3, 1, 1)) / 4
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-6)
    (resized,) = inputs_of([input_spec("p.png@3x4")], 0, None)
    assert resized.shape == (1, 3, 3, 4)
    options = ["--mean", "1", "2", "3", "--std", "4", "--channel-order", order]
    command = ["export", "own_models:build", "--input", "p.png", *options, "--verify", "torch"]
    assert main(command) == 0
    folded = Path("build.caffemodel").read_bytes()
    assert main([*command, "--caller-preprocesses"]) == 0
    assert Path("build.caffemodel").read_bytes() != folded


def test_onnx_of_a_newer_opset_is_read_in_an_older_one(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx = pytest.importorskip("onnx")
    from onnx import helper

    sides = [helper.make_tensor_value_info(name, 1, [1, 3, 8, 8]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", sides[:1], sides[1:])

    def convert(model: Any) -> nn.Module:
        if model.opset_import[0].version > known[-1]:
            raise NotImplementedError("no converter for version 19")
        return nn.Sequential(nn.ReLU())

    known = [17]
    monkeypatch.setitem(sys.modules, "onnx2torch", SimpleNamespace(convert=convert))
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    onnx.save(made, "net.onnx")
    assert main(["check", "net.onnx"]) == 0
    known.append(0)
    assert main(["check", "net.onnx"]) == 1
    wanted = "reads, as of opset 17, got NotImplementedError: no converter for version 19"
    assert wanted in capsys.readouterr().err


@pytest.mark.long
def test_onnx(folder: Path) -> None:
    """By hand, where onnx2torch is installed: it is no part of the tests' environment."""
    for dynamo in (False, True):
        torch.onnx.export(build().eval(), (torch.randn(1, 3, 8, 8),), "net.onnx", dynamo=dynamo)
        assert main(["export", "net.onnx", "--verify", "torch"]) == 0


@pytest.mark.parametrize(
    "content",
    [b"junk", b"PK\x03\x04", b"\x80\x02.", b"\x80\x02}q\x00.", b"\x80\x02K\x01.",
     b"\x80\x05\x95\xff\xff\xff\xff\xff\xff\xff\xff", b"\x93NUMPY", b"\x89PNG\r\n", bytes(512)],
)  # fmt: skip
def test_any_other_file_is_distinguished_from_weights_and_programs(
    tmp_path: Path, content: bytes
) -> None:
    reads = {".pth": read_state_dict, ".pt": lambda path: from_script(path, None),
             ".pt2": lambda path: from_program(path, None)}  # fmt: skip
    for suffix, read in reads.items():
        path = tmp_path / f"file{suffix}"
        path.write_bytes(content)
        with pytest.raises(CaffeFormatError, match=f"file{suffix} needs to "):
            read(path)


def test_a_damaged_program_is_reported(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "s.pt", "w") as file:
        file.writestr("s/code/__torch__.py", "xyz")
    with pytest.raises(CaffeFormatError, match="needs to be whole TorchScript"):
        from_script(tmp_path / "s.pt", (torch.ones(1, 1, 1, 1),))
