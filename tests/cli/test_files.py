"""`caffe2fx upgrade` and `caffe2fx weights`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import caffe2fx
import fx2caffe
from caffe2fx.cli import main

OLD = """name: "old"
input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs_lr: 1 blobs_lr: 2
         convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layers { name: "relu" type: RELU bottom: "conv" top: "conv" }
layers { name: "loss" type: SOFTMAX_LOSS bottom: "conv" bottom: "label" top: "loss"
         include { phase: TRAIN } }
layers { name: "prob" type: SOFTMAX bottom: "conv" top: "prob" include { phase: TEST } }
"""
SSD = """name: "ssd"
layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } } }
layer { name: "p" type: "Permute" bottom: "data" top: "p"
        permute_param { order: 0 order: 2 order: 3 order: 1 } }
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_upgrade_writes_todays_text_of_every_phase(capsys: pytest.CaptureFixture[str]) -> None:
    Path("old.prototxt").write_text(OLD)
    old = caffe2fx.load("old.prototxt")
    caffe2fx.save_weights(old, "old.caffemodel")
    assert main(["upgrade", "old.prototxt", "old.caffemodel", "-o", "new"]) == 0
    assert capsys.readouterr().out == "new.prototxt\nnew.caffemodel\n"
    text = Path("new.prototxt").read_text()
    assert "layers {" not in text and "input_dim" not in text and "blobs_lr" not in text
    assert 'type: "SoftmaxWithLoss"' in text and "phase: TRAIN" in text and "lr_mult: 2" in text
    new = caffe2fx.load("new.prototxt", "new.caffemodel")
    x = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(new(x), old(x), rtol=0, atol=0)
    # A second time nothing changes, but for the line that the two files share.
    assert main(["upgrade", "new.prototxt", "-o", "again.prototxt"]) == 0
    assert Path("again.prototxt").read_text() == text.partition("\n")[2]


def test_upgrade_keeps_a_forks_layers() -> None:
    Path("ssd.prototxt").write_text(SSD)
    assert main(["upgrade", "ssd.prototxt", "-o", "new"]) == 0
    assert caffe2fx.load("new.prototxt")(torch.randn(1, 3, 4, 4)).shape == (1, 4, 4, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["old.prototxt", "-o", "old"], "--output needs another name than the old file"),
        (["none.prototxt", "-o", "new"], "none.prototxt"),
        (["bad.prototxt", "-o", "new"], "bad.prototxt needs"),
        (["old.prototxt", "bad.prototxt", "-o", "new"], "bad.prototxt"),
        (["old.prototxt", "-o", "no/folder/new"], "folder"),
    ],
)
def test_upgrade_refuses(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("old.prototxt").write_text(OLD)
    Path("bad.prototxt").write_text("layer { nothing: 1 }")
    assert main(["upgrade", *arguments]) == 1
    assert message in capsys.readouterr().err
    assert Path("old.prototxt").read_text() == OLD and not Path("new.prototxt").exists()


class Net(nn.Module):
    """A convolution, a BatchNorm, a PReLU and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.act, self.head = nn.PReLU(4), nn.Linear(4 * 36, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.norm(self.conv(x))).flatten(1))  # type: ignore[no-any-return]


def trained() -> Net:
    model = Net()
    with torch.no_grad():
        for value in (model.norm.running_mean, model.norm.weight, model.norm.bias):
            assert value is not None
            value.uniform_(0.5, 1.5)
    return model.eval()


@pytest.mark.parametrize("match", ["name", "order"])
def test_weights_of_a_torch_model_go_into_a_prototxt(match: str) -> None:
    x, model = torch.randn(2, 3, 8, 8), trained()
    net = fx2caffe.export(Net().eval(), x, fold_batchnorm=False)
    net.save("net.prototxt", "old.caffemodel")
    if match == "order":
        text = Path("net.prototxt").read_text().partition("\n")[2]
        Path("net.prototxt").write_text(text.replace('"conv"', '"stem"').replace('"norm', '"n'))
    torch.save({"state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, "m.pth")
    assert main(["weights", "net.prototxt", "m.pth", "--match", match]) == 0
    found = caffe2fx.load("net.prototxt", "net.caffemodel")(x)
    torch.testing.assert_close(found, model(x), rtol=1e-4, atol=1e-5)


def changed(change: Any) -> None:
    model = trained()
    fx2caffe.export(Net().eval(), torch.randn(1, 3, 8, 8), fold_batchnorm=False).save(
        "net.prototxt", "old.caffemodel"
    )
    state = dict(model.state_dict())
    change(state)
    torch.save(state, "m.pth")


@pytest.mark.parametrize(
    ("change", "match", "message"),
    [
        (
            lambda s: s.pop("head.bias"),
            "name",
            "needs blobs of 5x144, 5, got 5x144 of",
        ),
        (lambda s: s.pop("act.weight"), "name", "layer 'act' (PReLU) needs a module of its name"),
        (lambda s: s.update({"x.weight": torch.ones(2)}), "name", "got none for x"),
        (lambda s: s.update({"x.weight": torch.ones(2)}), "order", "for 5 layers, got 6"),
        (lambda s: s.update({"act.weight": torch.ones(3)}), "order", "needs blobs of 4, got 3"),
        (lambda s: s.update({"conv.weight_ih_l0": torch.ones(3)}), "name", "weight and bias alone"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    change: Any, match: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    changed(change)
    assert main(["weights", "net.prototxt", "m.pth", "--match", match]) == 1
    assert message in capsys.readouterr().err
    assert not Path("net.caffemodel").exists()
