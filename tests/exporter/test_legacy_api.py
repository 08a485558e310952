"""The older tool's five functions, as its users call them."""

from __future__ import annotations

import inspect
import logging
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import caffe2fx
import fx2caffe
from caffe2fx.errors import CaffeError
from caffe2fx.verdict.reference.calibrate import calibrate

IMAGE = np.random.default_rng(0).standard_normal((3, 8, 8)).astype(np.float32)
NET_INPUT = torch.from_numpy(IMAGE).unsqueeze(0)

SIGNATURES = {
    "create_model": "(model, net_input, model_path='model.prototxt', feature_dir=None)",
    "create_model_weight": "(model, net_input, model_path='model.prototxt', "
    "weight_path='model.caffemodel', feature_dir=None)",
    "compare_caffe_model": "(prototxt_path, weights_path, numpy_input, feature_dir)",
    "caffe2pytorch": "(prototxt_path, weights_path, pytorch_model_path='PytorchModel.py', "
    "outputs=None)",
    "compare_caffe_pytorch_model": "(numpy_input, prototxt_path, weights_path, model, "
    "feature_dir=None)",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_arguments_are_those_of_the_older_tool(name: str) -> None:
    function = getattr(fx2caffe, name)
    signature = inspect.signature(function)
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    assert str(inspect.Signature(bare)) == SIGNATURES[name]
    assert name in fx2caffe.__all__
    if not name.startswith("create"):
        assert getattr(caffe2fx, name) is function and name in caffe2fx.__all__


# The calls of the older tool's usage text, but for the import lines; `...` is its own.
SCRIPT = """
import re
import numpy as np
import torch
from models import PytorchModel

from fx2caffe import create_model,create_model_weight
...
model=PytorchModel()
model.eval()#don't forget it
numpy_input=np.load("image_input.npy")#CxHxW
net_input=torch.from_numpy(numpy_input).unsqueeze(0).float()
create_model_weight(model,net_input,model_path="model.prototxt",weight_path="model.caffemodel",feature_dir="feature_dir")

text = open("model.prototxt").read()
open("model_modified.prototxt", "w").write(
    re.sub(r'layer \\{\\n  name: "flatten"[^}]*\\}\\n', "", text)
    .replace('bottom: "flatten"', 'bottom: "conv"')
)
open("wrong.prototxt", "w").write(text.replace('"ReLU"', '"TanH"'))

from fx2caffe import compare_caffe_model
report = \
compare_caffe_model("model_modified.prototxt","model.caffemodel",numpy_input,"feature_dir")
print("first:", report.ok, report.first_divergence and report.first_divergence.layer)
report = compare_caffe_model("wrong.prototxt","model.caffemodel",numpy_input,"feature_dir")
print("wrong:", report.ok, report.first_divergence.layer)

from caffe2fx import caffe2pytorch
...
prototxt_path='model.prototxt'
weights_path='model.caffemodel'
model=caffe2pytorch(prototxt_path,
                    weights_path,
                    pytorch_model_path='PytorchModel.py',
                    outputs=["conv","fc"]
                    )

from caffe2fx import compare_caffe_pytorch_model
from PytorchModel import PytorchModel
...
model=PytorchModel()
model.load_state_dict(torch.load("PytorchModel.pth"))
model.eval()#don't forget it
numpy_input=np.load("image_input.npy")#CxHxW
report = \
compare_caffe_pytorch_model(numpy_input,prototxt_path,weights_path,model,feature_dir="feature_dir")
print("second:", report.ok)
"""
MODELS = """
from torch import nn
class PytorchModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU(inplace=True)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(144, 5)
    def forward(self, x):
        return self.fc(self.flatten(self.relu(self.conv(x))))
"""
LINE = re.compile(
    r"^I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ \w+\.py:\d+\] "
    r"relu_sim:\S+ sim:\S+ l2_dist:\S+ \(\d+,\) \(\d+,\) (\S+)$",
    re.M,
)


def test_usage_text_runs(tmp_path: Path) -> None:
    """In a process of its own, where nothing configures logging; one edit is right, one wrong."""
    np.save(tmp_path / "image_input.npy", IMAGE)
    (tmp_path / "models.py").write_text(MODELS)
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ["first: True None", "wrong: False relu", "second: True"]
    whole = ["conv", "relu", "flatten", "fc"]
    assert LINE.findall(ran.stderr) == ["conv", "relu", "fc", *whole, *whole]
    assert ran.stderr.count("first divergence: layer 'relu'") == 1
    assert ran.stderr.count("only in the dump: flatten") == 1


def build(seed: int = 0) -> nn.Module:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5)
    )
    example = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return calibrate(model, [example], seed=seed)


Files = tuple[Path, Path]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    monkeypatch.chdir(tmp_path)
    paths = tmp_path / "deploy.prototxt", tmp_path / "deploy.caffemodel"
    fx2caffe.create_model_weight(build(), NET_INPUT, *paths, "maps")
    return paths


def test_create_model_writes_the_prototxt_alone(files: Files, tmp_path: Path) -> None:
    fx2caffe.create_model(build(), IMAGE)
    assert Path("model.prototxt").read_text() == files[0].read_text()
    assert not Path("model.caffemodel").exists()
    fx2caffe.create_model(build(), [IMAGE], "only.prototxt", "only")
    assert len(caffe2fx.read_dump("only").maps) == 5


@pytest.mark.pycaffe
def test_real_caffe_is_compared_where_it_is_there(files: Files) -> None:
    report = fx2caffe.compare_caffe_model(*files, IMAGE, "maps")
    assert report.ok and report.engine == "pycaffe", str(report)
    assert [row.layer for row in report.rows] == ["0", "1", "2", "3", "4"]
    assert all(row.found.cosine > 1 - 1e-9 for row in report.rows)


Edit = Callable[[str], str]
EDITS: dict[str, tuple[Edit, str | None, tuple[str, ...], tuple[str, ...]]] = {
    "a layer renamed": (lambda t: t.replace('name: "2"', 'name: "pool"'), None, (), ()),
    "a layer with weights renamed": (
        lambda t: t.replace('name: "4"', 'name: "fc"'),
        "fc",
        (),
        (),
    ),
    "a blob renamed": (lambda t: re.sub('(top|bottom): "2"', r'\1: "pooled"', t), None, (), ()),
    "layer and blob of an in-place chain renamed": (
        lambda t: re.sub('(top|bottom): "0"', r'\1: "conv"', t).replace('name: "1"', 'name: "act"'),
        None,
        ("1",),
        ("act",),
    ),
    "a layer in place removed": (
        lambda t: re.sub(r'layer \{\n  name: "1"[^}]*\}\n', "", t),
        "1",
        ("1",),
        (),
    ),
    "an operation added in place": (
        lambda t: t.replace(
            'layer {\n  name: "2"',
            'layer { name: "new" type: "TanH" bottom: "0" top: "0" }\nlayer {\n  name: "2"',
        ),
        "new",
        (),
        (),
    ),
    "an operation added with a top of its own": (
        lambda t: t.replace(
            'layer {\n  name: "4"\n  type: "InnerProduct"\n  bottom: "3"',
            'layer { name: "new" type: "TanH" bottom: "3" top: "new" }\n'
            'layer {\n  name: "4"\n  type: "InnerProduct"\n  bottom: "new"',
        ),
        "new",
        (),
        (),
    ),
    "a layer in place added": (
        lambda t: t.replace(
            'layer {\n  name: "2"',
            'layer { name: "new" type: "Power" bottom: "0" top: "0" }\nlayer {\n  name: "2"',
        ),
        None,
        (),
        ("new",),
    ),
    "another slope": (
        lambda t: t.replace('type: "ReLU"', 'type: "ReLU" relu_param { negative_slope: 0.1 }'),
        "1",
        (),
        (),
    ),
    "another pooling": (
        lambda t: t.replace("kernel_size: 2", "kernel_size: 2\n    pool: AVE"),
        "2",
        (),
        (),
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_prototxt(files: Files, name: str) -> None:
    edit, first, only_dump, only_net = EDITS[name]
    text = files[0].read_text()
    Path("edited.prototxt").write_text(edit(text))
    assert edit(text) != text
    report = fx2caffe.compare_caffe_model("edited.prototxt", files[1], IMAGE, "maps")
    divergence = report.first_divergence
    assert (divergence and divergence.layer) == first and report.ok == (first is None), str(report)
    assert (report.only_dump, report.only_net) == (only_dump, only_net)
    assert [row.layer for row in report.rows if row.diverges] == ([first] if first else [])
    assert ("without weights: fc" in str(report)) == (first == "fc")


def test_an_edit_that_changes_a_shape_is_reported_as_shapes(files: Files) -> None:
    text = files[0].read_text().replace("kernel_size: 2", "kernel_size: 3\n    pad: 1", 1)
    Path("edited.prototxt").write_text(text)
    with pytest.raises(CaffeError, match="layer '4'"):  # its weights no longer fit
        fx2caffe.compare_caffe_model("edited.prototxt", files[1], IMAGE, "maps")
    cut = text[: text.index('layer {\n  name: "3"')]
    Path("edited.prototxt").write_text(cut)
    report = fx2caffe.compare_caffe_model("edited.prototxt", files[1], IMAGE, "maps")
    assert report.first_divergence is not None and report.first_divergence.layer == "2"
    assert "shape [1, 4, 3, 3] in the dump, [1, 4, 4, 4] in the net" in str(report)


def test_weights_that_were_changed(files: Files) -> None:
    module = caffe2fx.load(*files)
    with torch.no_grad():
        next(module.parameters()).mul_(1.01)
    caffe2fx.save_weights(module, "tuned.caffemodel")
    report = fx2caffe.compare_caffe_model(files[0], "tuned.caffemodel", IMAGE, "maps")
    assert report.first_divergence is not None and report.first_divergence.layer == "0"


WRONG: dict[str, tuple[tuple[Any, str], str]] = {
    "another image": ((IMAGE * 2, "maps"), "needs the values that the dump was made from"),
    "another size": ((IMAGE[:, :7], "maps"), r"needs the shape \[1, 3, 8, 8\] as in the dump"),
    "no folder": ((IMAGE, "none"), "No such file"),
}


@pytest.mark.parametrize("name", WRONG)
def test_nets_that_cannot_be_compared(files: Files, name: str) -> None:
    given, message = WRONG[name]
    with pytest.raises(CaffeError, match=message):
        fx2caffe.compare_caffe_model(*files, *given)


def test_the_input_is_the_callers_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where it is constant, for which verify and the judge draw other values."""
    monkeypatch.chdir(tmp_path)
    made = fx2caffe.create_model_weight(build(), torch.zeros(1, 3, 8, 8), feature_dir="maps")
    dump = caffe2fx.read_dump("maps")
    assert not dump.inputs["data"].any()
    bias = made.net.steps[1].blobs[1]
    np.testing.assert_array_equal(dump.maps[0].value[0, :, 0, 0], bias.numpy())
    with caplog.at_level(logging.INFO, "caffe2fx"):
        files, image = ("model.prototxt", "model.caffemodel"), np.zeros((3, 8, 8), np.float32)
        report = fx2caffe.compare_caffe_model(*files, image, "maps")
    assert report.ok and sum(text.startswith("relu_sim:") for text in caplog.messages) == 5
    assert all(row.found.cosine > 1 - 1e-6 and row.loss > 100 for row in report.rows), str(report)


def test_the_way_back(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("sub").mkdir()
    module = caffe2fx.caffe2pytorch(*files, "sub/Net.py")
    monkeypatch.syspath_prepend("sub")
    from Net import Net  # type: ignore[import-not-found]

    net = Net()
    net.load_state_dict(torch.load("sub/Net.pth"))
    sys.modules.pop("Net")
    assert isinstance(net, Net) and isinstance(net, nn.Module) and not net.training
    assert torch.equal(net(NET_INPUT), module(NET_INPUT))
    assert torch.equal(pickle.loads(pickle.dumps(net))(NET_INPUT), module(NET_INPUT))
    report = caffe2fx.compare_caffe_pytorch_model(IMAGE, *files, net, "back")
    assert report.ok and len(report.rows) == 5
    assert fx2caffe.compare_caffe_model(*files, IMAGE, "back").ok


def test_net_py_takes_its_own_weights(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that were trained and saved beside Net.py are those of the next Net()."""
    module = caffe2fx.caffe2pytorch(*files, "Own.py", outputs=["0"])
    state = {name: value * 2 for name, value in module.state_dict().items()}
    torch.save(state, "Own.pth")
    monkeypatch.syspath_prepend(".")
    from Own import Own  # type: ignore[import-not-found]

    sys.modules.pop("Own")
    compare = caffe2fx.compare_caffe_pytorch_model
    report = compare(IMAGE, *files, Own())
    assert report.first_divergence is not None and report.first_divergence.layer == "0"
    Path("Own.pth").write_bytes(b"junk")
    with pytest.raises(CaffeError, match=r"Own\.pth needs to be a file of torch.save"):
        Own()
    torch.save({"other": torch.ones(1)}, "Own.pth")
    with pytest.raises(CaffeError, match=r"Own\.pth does not fit the model"):
        Own()
    Path("Own.pth").unlink()
    assert compare(IMAGE, *files, Own()).ok


class Named(nn.Module):
    """Two outputs in a structure that `arrange` makes."""

    def __init__(self, arrange: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.a, self.b, self.arrange = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3), arrange

    def forward(self, x: Tensor) -> Any:
        return self.arrange(self.a(x), self.b(x))


ARRANGED: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "in order": lambda a, b: (a, b),
    "the other way": lambda a, b: (b, a),
    "a dict": lambda a, b: {"out": b, "aux": a},
    "nested": lambda a, b: (a, [{"b": b}]),
}


@pytest.mark.parametrize("name", ARRANGED)
def test_outputs_of_a_model_of_ones_own(files: Files, name: str) -> None:
    model = Named(ARRANGED[name]).eval()
    fx2caffe.create_model_weight(model, NET_INPUT, "two.prototxt", "two.caffemodel")
    compare = caffe2fx.compare_caffe_pytorch_model
    report = compare(IMAGE, "two.prototxt", "two.caffemodel", model)
    assert report.ok and len(report.rows) == 2, str(report)
    with torch.no_grad():
        model.b.weight.mul_(1.1)
    worse = compare(IMAGE, "two.prototxt", "two.caffemodel", model)
    assert worse.first_divergence is not None and worse.first_divergence.layer == "b"


def test_outputs_missing_from_the_net(files: Files) -> None:
    with pytest.raises(CaffeError, match="the model needs outputs like the net's"):
        caffe2fx.compare_caffe_pytorch_model(IMAGE, *files, nn.Conv2d(3, 4, 3).eval())


def test_a_configured_log_is_left_alone(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "caffe2fx"):
        fx2caffe.compare_caffe_model(*files, IMAGE, "maps")
    lines = [message for message in caplog.messages if message.startswith("relu_sim:")]
    assert len(lines) == 5 and lines[1].endswith(" (144,) (144,) 1")
    assert "5 of 5 feature maps equal" in caplog.messages[-1]
    assert not logging.getLogger("caffe2fx").handlers


@pytest.mark.parametrize("path", ["my-net.py", "Net.txt"])
def test_files_that_are_no_net_py(files: Files, path: str) -> None:
    with pytest.raises(CaffeError, match=r"a name like PytorchModel\.py"):
        caffe2fx.caffe2pytorch(*files, path)
