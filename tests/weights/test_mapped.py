"""A loaded module does not follow its weights file: it has a copy, or notices that it changed."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import caffe2fx
import fx2caffe
from caffe2fx.errors import CaffeFileError
from caffe2fx.weights import caffemodel, mapped

X = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(4))
Pair = tuple[Path, Path]


@pytest.fixture
def files(tmp_path: Path) -> Pair:
    return written(tmp_path / "net", 0)


def written(place: Path, seed: int) -> Pair:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(3, 40, 3), nn.BatchNorm2d(40), nn.ReLU()).eval()
    pair = place.with_suffix(".prototxt"), place.with_suffix(".caffemodel")
    fx2caffe.export(model, X).save(*pair)
    return pair


def copied_over(path: Path) -> None:
    shutil.copyfile(written(path.with_name("other"), 1)[1], path)


def cut_short(path: Path) -> None:
    os.truncate(path, 100)


def emptied(path: Path) -> None:
    path.open("wb").close()


def appended(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def rewritten_with_its_times(path: Path) -> None:
    """The other net's weights have the same size."""
    before = path.stat()
    copied_over(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


WRITES: list[Callable[[Path], None]] = [
    copied_over, cut_short, emptied, appended, rewritten_with_its_times
]  # fmt: skip


def replaced(path: Path) -> None:
    os.replace(written(path.with_name("other"), 1)[1], path)


def linked(path: Path) -> None:
    path.with_name("backup").hardlink_to(path)


def renamed(path: Path) -> None:
    path.rename(path.with_name("another"))


def permitted(path: Path) -> None:
    path.chmod(0o600)


HARMLESS: list[Callable[[Path], None]] = [replaced, Path.unlink, permitted, linked, renamed]

USES: dict[str, Callable[[Any, Path], object]] = {
    "forward": lambda module, _: module(X),
    "blobs": lambda module, _: module.caffe.blobs(X),
    "loss": lambda module, _: module.caffe.loss(X),
    "state_dict": lambda module, _: module.state_dict(),
    "save_weights": lambda module, path: caffe2fx.save_weights(module, path / "saved.caffemodel"),
    "export": lambda module, _: fx2caffe.export(module, X),
    "deepcopy": lambda module, _: copy.deepcopy(module),
    "pickle": lambda module, _: pickle.dumps(module),
    "double": lambda module, _: module.double().float(),
    "compare": lambda module, _: caffe2fx.compare(module, module, X),
    "judged": lambda module, _: caffe2fx.compare(nn.ReLU(), module, X),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("write", WRITES)
def test_a_mapped_tensor_is_not_used_once_its_file_was_written(
    files: Pair, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None], use: Any
) -> None:
    monkeypatch.setattr(mapped, "READ_UP_TO", 0)
    module = caffe2fx.load(*files)
    write(files[1])
    with pytest.raises(CaffeFileError, match=f"{files[1]} was written into .* mmap=False"):
        use(module, files[1].parent)


EXPORTED: dict[str, Callable[[fx2caffe.Export, Pair], object]] = {
    "save": lambda net, pair: net.save(pair[0].with_name("2"), pair[1].with_name("2.caffemodel")),
    "save as HDF5": lambda net, pair: net.save(pair[0].with_name("2"), pair[1].with_name("2.h5")),
    "save_weights": lambda net, pair: net.save_weights(pair[0], pair[1].with_name("2.caffemodel")),
    "verify": lambda net, _: net.verify(),
    "verify files": lambda net, pair: net.verify(files=(pair[0], pair[1].with_name("kept"))),
}


@pytest.mark.parametrize("use", EXPORTED.values(), ids=EXPORTED)
@pytest.mark.parametrize("write", [copied_over, cut_short])
def test_an_export_of_a_mapped_module_is_not_used_either(
    files: Pair, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None], use: Any
) -> None:
    monkeypatch.setattr(mapped, "READ_UP_TO", 0)
    exported = fx2caffe.export(caffe2fx.load(*files), X)
    use(exported, (files[0], shutil.copyfile(files[1], files[1].with_name("kept"))))
    write(files[1])
    with pytest.raises(CaffeFileError, match=f"{files[1]} was written into .* mmap=False"):
        use(exported, files)


OWNERS: dict[str, Callable[[Pair], Any]] = {
    "small": lambda pair: caffe2fx.load(*pair),
    "HDF5": lambda pair: caffe2fx.load(pair[0], as_hdf5(pair)),
}
OWNERS_OF_MAPPED: dict[str, Callable[[Pair], Any]] = {
    "mmap=False": lambda pair: caffe2fx.load(*pair, mmap=False),
    "deepcopy": lambda pair: copy.deepcopy(caffe2fx.load(*pair)),
    "pickle": lambda pair: pickle.loads(pickle.dumps(caffe2fx.load(*pair))),
    "other weights": lambda pair: assigned(caffe2fx.load(*pair)),
}


def as_hdf5(pair: Pair) -> Path:
    path = pair[1].with_suffix(".h5")
    caffe2fx.save_weights(caffe2fx.load(*pair), path)
    return path


def assigned(module: nn.Module) -> nn.Module:
    state = {name: value.clone() for name, value in module.state_dict().items()}
    module.load_state_dict(state, assign=True)
    for norm in module.modules():
        for name, blob in list(norm.named_buffers(recurse=False)):
            setattr(norm, name, blob.clone())
    return module


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("load", [*OWNERS, *OWNERS_OF_MAPPED])
def test_tensors_with_memory_of_their_own_stay_unchanged(
    files: Pair, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None], load: str
) -> None:
    if load in OWNERS_OF_MAPPED:
        monkeypatch.setattr(mapped, "READ_UP_TO", 0)
    module = (OWNERS | OWNERS_OF_MAPPED)[load](files)
    before = module(X).clone()
    write(files[1])
    assert torch.equal(module(X), before)
    for name, use in USES.items():
        if load != "other weights" or name in ("state_dict", "save_weights", "blobs", "double"):
            use(module, files[1].parent)


@pytest.mark.parametrize("change", HARMLESS)
def test_a_file_that_went_away_is_still_mapped(
    files: Pair, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(mapped, "READ_UP_TO", 0)
    module = caffe2fx.load(*files)
    before: Tensor = module(X).clone()
    change(files[1])
    assert torch.equal(module(X), before)
    if change in (permitted, linked):
        rewritten_with_its_times(files[1])
        with pytest.raises(CaffeFileError):
            module(X)
    else:
        shutil.copyfile(files[0], files[1])  # into the new file, if there is one
        assert torch.equal(module(X), before)


def test_compiling_keeps_one_graph(files: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "READ_UP_TO", 0)
    module = caffe2fx.load(*files)
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    assert torch.equal(compiled(X), module(X))
    assert torch.equal(torch.export.export(module, (X,)).module()(X), module(X))


def test_writing_to_the_weights_of_a_small_file_does_not_leave_a_fork(files: Pair) -> None:
    module = caffe2fx.load(*files)
    before = module(X).clone()
    if (child := os.fork()) == 0:
        for parameter in module.parameters():
            parameter.data.zero_()
        os._exit(0)
    os.waitpid(child, 0)
    assert torch.equal(module(X), before)
    assert caffe2fx.load(*files)(X).equal(before)


def test_a_mapping_closes_its_file(files: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "READ_UP_TO", 0)
    open_files = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        _, layers = caffemodel.read(files[1])
        assert len(os.listdir("/proc/self/fd")) > open_files
        del layers
    assert len(os.listdir("/proc/self/fd")) == open_files
