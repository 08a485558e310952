"""Paths and inputs that are wrong: an error of our own, and nothing half written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import caffe2fx
import fx2caffe
from caffe2fx.errors import CaffeError, CaffeFileError, ShapeMismatchError

X = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    exported().save("a.prototxt", "a.caffemodel")
    exported().save("b.prototxt", "b.h5")
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir.h5").mkdir()
    return tmp_path


def exported() -> Any:
    return fx2caffe.export(nn.Conv2d(3, 4, 3).eval(), X)


READS: dict[str, tuple[Callable[[], Any], str]] = {
    "no prototxt": (lambda: caffe2fx.load("none", "a.caffemodel"), "No such file.*none"),
    "no weights": (lambda: caffe2fx.load("a.prototxt", "none"), "No such file.*none"),
    "no h5": (lambda: caffe2fx.load("a.prototxt", "none.h5"), "none.h5"),
    "prototxt is a folder": (lambda: caffe2fx.load("dir", "a.caffemodel"), "directory.*dir"),
    "weights are a folder": (lambda: caffe2fx.load("a.prototxt", "dir"), "directory.*dir"),
    "h5 is a folder": (lambda: caffe2fx.load("a.prototxt", "dir.h5"), "dir.h5"),
    "compare": (lambda: caffe2fx.compare(("none", "a.caffemodel"), ("a", "a"), X), "none"),
    "compare in an engine": (
        lambda: caffe2fx.compare(nn.ReLU(), ("none", "a.caffemodel"), X),
        "No such file.*none",
    ),
    "the two exchanged": (lambda: caffe2fx.load("a.caffemodel", "a.prototxt"), "caffemodel"),
    "empty weights": (lambda: caffe2fx.load("a.prototxt", "empty"), "found no bytes"),
    "verify files": (lambda: exported().verify(files=("none", "a.caffemodel")), "No such file"),
    "save weights": (lambda: exported().save_weights("none", "c.caffemodel"), "No such file"),
}


@pytest.mark.parametrize("name", READS)
def test_reading(folder: Path, name: str) -> None:
    run, message = READS[name]
    (folder / "empty").touch()
    before = sorted(folder.iterdir())
    with pytest.raises(CaffeError, match=message):
        run()
    assert sorted(folder.iterdir()) == before


WRITES: dict[str, Callable[[], Any]] = {
    "no folder": lambda: exported().save("none/c.prototxt", "c.caffemodel"),
    "no folder for weights": lambda: exported().save("c.prototxt", "none/c.caffemodel"),
    "prototxt is a folder": lambda: exported().save("dir", "c.caffemodel"),
    "weights are a folder": lambda: exported().save("c.prototxt", "dir.h5"),
    "one path": lambda: exported().save("c", "c"),
    "one path in two spellings": lambda: exported().save("c", "dir/../c"),
    "one path for weights alone": lambda: exported().save_weights("a.prototxt", "a.prototxt"),
    "a map": lambda: exported().save_map("none/m.json"),
    "a report": lambda: exported().verify().save("dir"),
    "weights of a module": lambda: caffe2fx.save_weights(
        caffe2fx.load("a.prototxt", "a.caffemodel"), "none/c.caffemodel"
    ),
    "a Net.py": lambda: caffe2fx.caffe2pytorch("a.prototxt", "a.caffemodel", "none/Net.py"),
}


@pytest.mark.parametrize("name", WRITES)
def test_writing(folder: Path, name: str) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(CaffeFileError):
        WRITES[name]()
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything")
def test_unreadable(folder: Path) -> None:
    (folder / "a.caffemodel").chmod(0)
    with pytest.raises(CaffeFileError, match="Permission denied"):
        caffe2fx.load("a.prototxt", "a.caffemodel")


def test_the_error_is_an_os_error_too(folder: Path) -> None:
    with pytest.raises(OSError) as caught:
        caffe2fx.load("none", "a.caffemodel")
    assert caught.value.filename == "none" and "No such file" in str(caught.value.strerror)


SHAPES: dict[str, Callable[[], Any]] = {
    "channels": lambda: fx2caffe.export(nn.Conv2d(3, 4, 3), torch.randn(1, 4, 8, 8)),
    "too small": lambda: fx2caffe.export(nn.Conv2d(3, 4, 3), torch.randn(1, 3, 2, 2)),
    "no tensor": lambda: fx2caffe.export(nn.Conv2d(3, 4, 3), "image.png"),
    "verify: channels": lambda: exported().verify(inputs=torch.randn(1, 4, 8, 8)),
    "verify: rank": lambda: exported().verify(inputs=torch.randn(3, 8, 8)),
    "verify: count": lambda: exported().verify(inputs=(X, X)),
    "verify: fixed sizes": lambda: fx2caffe.export(
        nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), X
    ).verify(inputs=torch.randn(1, 3, 9, 8)),
    "compare: channels": lambda: caffe2fx.compare(loaded(), loaded(), torch.randn(1, 4, 8, 8)),
    "compare: count": lambda: caffe2fx.compare(loaded(), loaded(), (X, X)),
    "array of another rank": lambda: caffe2fx.compare(loaded(), loaded(), np.zeros(8)),
}


def loaded() -> Any:
    return caffe2fx.load("a.prototxt", "a.caffemodel")


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(folder: Path, name: str) -> None:
    with pytest.raises(ShapeMismatchError):
        SHAPES[name]()
