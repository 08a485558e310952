"""A disk that is full at any byte: an error of ours, the old file untouched, nothing beside it."""

from __future__ import annotations

import io
import os
import resource
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import pytest
import torch
from torch import nn

import caffe2fx
import fx2caffe
from caffe2fx import cli
from caffe2fx.errors import CaffeFileError
from caffe2fx.weights.atomic import enduring

X = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(5))
MADE = fx2caffe.export(nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3)), X)


def load_with(ending: str) -> Callable[[Path], Any]:
    def run(folder: Path) -> None:
        output = str(folder / f"net.{ending}")
        files = map(str, (folder / "in.prototxt", folder / "in.caffemodel"))
        # pytest's captured output is a file too.
        with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
            status = cli.main(["load", *files, "-o", output])
        if status:
            raise CaffeFileError("said on standard error")

    return run


WRITERS: dict[str, Callable[[Path], Any]] = {
    "caffemodel": lambda folder: MADE.save(folder / "net.prototxt", folder / "net.caffemodel"),
    "HDF5": lambda folder: MADE.save(folder / "net.prototxt", folder / "net.caffemodel.h5"),
    "weights": lambda folder: MADE.save_weights(folder / "in.prototxt", folder / "net.h5"),
    "report": lambda folder: MADE.verify().save(folder / "net.html"),
    "pt": load_with("pt"),
    "pt2": load_with("pt2"),
    "Net.py": lambda folder: caffe2fx.caffe2pytorch(
        folder / "in.prototxt", folder / "in.caffemodel", folder / "Net.py"
    ),
}


@pytest.mark.parametrize("limit", [0, 90, 1000, 2100, 4096, 9000])
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_file_that_cannot_grow(tmp_path: Path, write: Callable[[Path], Any], limit: int) -> None:
    MADE.save(tmp_path / "in.prototxt", tmp_path / "in.caffemodel")
    before = contents(tmp_path)
    if (child := os.fork()) == 0:
        os._exit(limited(write, tmp_path, limit))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    after = contents(tmp_path)
    assert status in (0, 1)  # not a signal, nor another error
    if status:
        assert after == before
    else:
        assert len(after) > len(before)
        assert all(len(after[name]) <= limit for name in after.keys() - before.keys())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def limited(write: Callable[[Path], Any], folder: Path, limit: int) -> int:
    """Return 1 for an error of ours, 0 for none, 2 for another."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        write(folder)
    except CaffeFileError:
        return 1
    except BaseException:
        return 2
    return 0


def test_a_librarys_writes_through_it_are_complete(tmp_path: Path) -> None:
    with enduring(tmp_path / "right.h5") as plain, h5py.File(plain, "w") as file:
        file["a"] = X.numpy()
    with h5py.File(tmp_path / "right.h5") as file:
        assert (file["a"][()] == X.numpy()).all()
    with pytest.raises(KeyError), enduring(tmp_path / "other"):
        raise KeyError("another error is not hidden")
