"""The older tool's five functions, as its users call them."""

from __future__ import annotations

import logging
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import caffe2fx
import fx2caffe
from caffe2fx.errors import CaffeError
from caffe2fx.verdict.calibrate import calibrate
from caffe2fx.verdict.feature_maps import Feature, file_name

IMAGE = np.random.default_rng(0).standard_normal((3, 8, 8)).astype(np.float32)


def build(seed: int = 0) -> nn.Module:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5)
    )
    example = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return calibrate(model, [example], seed=seed)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.chdir(tmp_path)
    paths = tmp_path / "deploy.prototxt", tmp_path / "deploy.caffemodel"
    fx2caffe.create_model(build(), IMAGE, *paths)
    return paths


def test_create_model_writes_what_is_named(files: tuple[Path, Path], tmp_path: Path) -> None:
    made = fx2caffe.create_model(build(), [IMAGE], outputs=["2"])
    assert [step.name for step in made.net.steps][-1] == "2"
    assert len(list(tmp_path.iterdir())) == 2
    fx2caffe.create_model(build(), IMAGE, "only.prototxt")
    assert Path("only.prototxt").read_text() == files[0].read_text()
    fx2caffe.create_model(build(), IMAGE, caffemodel_path="only.caffemodel")
    only = caffe2fx.load("only.prototxt", "only.caffemodel")
    assert only.caffe.net == caffe2fx.load(*files).caffe.net


def test_create_model_weight(files: tuple[Path, Path]) -> None:
    files[0].write_text("# mine\n" + files[0].read_text())
    fx2caffe.create_model_weight(build(seed=1), IMAGE, *files)
    assert files[0].read_text().startswith("# mine")
    report = fx2caffe.compare_caffe_model(build(seed=1), IMAGE, *files, engine="torch")
    assert report.ok, str(report)
    with pytest.raises(CaffeError, match="needs no layer '3'"):
        fx2caffe.create_model_weight(build(), IMAGE, *files, outputs=["2"])
    fx2caffe.create_model_weight(build(), IMAGE, "new.prototxt", "new.caffemodel")
    assert Path("new.prototxt").exists() and Path("new.caffemodel").exists()


@pytest.mark.pycaffe
def test_compare_caffe_model(
    files: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "caffe2fx"):
        report = fx2caffe.compare_caffe_model(build(), IMAGE, *files, feature_dir="maps")
    assert report.ok and report.engine == "pycaffe"
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 5
    assert "relu_sim: 1.000000, sim: 1.000000, l2_dist: " in lines[0]
    assert "shapes: (1, 4, 6, 6) (1, 4, 6, 6), name: 0@0" in lines[0] and "name: 0@1" in lines[1]
    saved = {path.name: np.load(path) for path in (tmp_path / "maps").iterdir()}
    assert len(saved) == 10
    np.testing.assert_allclose(saved["4.caffe.npy"], saved["4.pytorch.npy"], rtol=1e-4, atol=1e-5)
    assert (saved["0@1.caffe.npy"] == saved["0@0.caffe.npy"].clip(0)).all()


def test_compare_finds_other_weights(files: tuple[Path, Path]) -> None:
    report = fx2caffe.compare_caffe_model(build(seed=1), IMAGE, *files, engine="torch")
    assert not report.ok and report.first_divergence.layer == "0"  # type: ignore[union-attr]
    with pytest.raises(CaffeError, match="is another net than the model's"):
        fx2caffe.compare_caffe_model(build(), IMAGE, *files, outputs=["2"])


@pytest.mark.pycaffe
def test_the_way_back(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("sub").mkdir()
    module = caffe2fx.caffe2pytorch(*files, "sub/Net.py")
    monkeypatch.syspath_prepend("sub")
    from Net import Net  # type: ignore[import-not-found]

    net = Net()
    net.load_state_dict(torch.load("sub/Net.pth"))
    sys.modules.pop("Net")
    x = torch.tensor(IMAGE[None])
    assert isinstance(net, Net) and isinstance(net, nn.Module) and not net.training
    assert torch.equal(net(x), module(x))
    assert torch.equal(pickle.loads(pickle.dumps(net))(x), module(x))
    for model in ("sub/Net.py", net):
        report = caffe2fx.compare_caffe_pytorch_model(*files, model, IMAGE, feature_dir="maps")
        assert report.ok and report.engine == "pycaffe" and len(report.rows) == 5
    assert len(list(Path("maps").iterdir())) == 10
    some = caffe2fx.compare_caffe_pytorch_model(*files, net, [IMAGE], ["2"], engine="torch")
    assert [row.blob for row in some.rows] == ["2"]
    with pytest.raises(CaffeError, match=r"both sides have, got \['fc'\]"):
        caffe2fx.compare_caffe_pytorch_model(*files, net, IMAGE, ["fc"], engine="torch")


def test_net_py_takes_its_own_weights(files: tuple[Path, Path]) -> None:
    """Weights that were trained and saved beside Net.py are those of the next Net()."""
    module = caffe2fx.caffe2pytorch(*files, outputs=["0"])
    state = {name: value * 2 for name, value in module.state_dict().items()}
    torch.save(state, "Net.pth")
    report = caffe2fx.compare_caffe_pytorch_model(*files, "Net.py", IMAGE, engine="torch")
    assert not report.ok
    Path("Net.pth").unlink()
    assert caffe2fx.compare_caffe_pytorch_model(*files, "Net.py", IMAGE, engine="torch").ok


def test_a_model_of_ones_own(files: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "caffe2fx"):
        report = caffe2fx.compare_caffe_pytorch_model(*files, build(), IMAGE, engine="torch")
    assert report.ok and "name: 4" in caplog.messages[-1]


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("my-net.py", None, "a name like Net.py"),
        ("Net.txt", None, "a name like Net.py"),
        ("Net.py", "Net = 3", "needs a class Net"),
        ("None.py", None, "No such file"),
        ("Net", None, r"an nn.Module or a \.py file"),
    ],
)
def test_what_is_no_net_py(
    files: tuple[Path, Path], path: str, content: str | None, message: str
) -> None:
    if content is not None:
        Path(path).write_text(content)
    with pytest.raises(CaffeError, match=message):
        if "like" in message:
            caffe2fx.caffe2pytorch(*files, path)
        else:
            caffe2fx.compare_caffe_pytorch_model(*files, path, IMAGE, engine="torch")
    assert len(list(files[0].parent.iterdir())) == 2 + (content is not None)


def feature(caffe: list[float], pytorch: list[float]) -> Any:
    return Feature("f", Tensor(caffe), Tensor(pytorch))


def test_measures() -> None:
    one = feature([3.0, -4.0], [3.0, 4.0])
    assert one.similarity == pytest.approx(-7 / 25)
    assert one.relu_similarity == pytest.approx(0.6)
    assert one.distance == pytest.approx(8.0)
    assert feature([0.0], [0.0]).similarity == 1.0 and feature([0.0], [1.0]).similarity == 0.0
    assert np.isnan(feature([0.0], [1.0, 2.0]).similarity)


def test_file_names() -> None:
    taken: set[str] = set()
    names = [file_name(blob, taken) for blob in ("a/b", "a_b", "A_B", "../x", "", "a" * 300)]
    assert names[:5] == ["a_b", "a_b_1", "A_B_2", "_x", "_"] and len(names[5]) == 100
