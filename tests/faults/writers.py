"""What writes files: each writes an old and a new version under the same names, and reads one."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

import caffe2fx
import fx2caffe
from caffe2fx import cli
from caffe2fx.engines.install import installer
from caffe2fx.engines.install.download import Package
from caffe2fx.errors import CaffeError, CaffeFormatError
from fx2caffe.exporter.result import Export
from fx2caffe.zoo import Job
from fx2caffe.zoo import run as run_zoo
from fx2caffe.zoo.worker import run as run_job
from tests.engines.install.packages import published

VERSIONS = OLD, NEW = "old", "new"
MIXED = "refused"  # files of two versions, which the reader refuses
X = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(5))


def model(version: str) -> nn.Module:
    """Return a small model; both versions have the same layers but one."""
    torch.manual_seed(VERSIONS.index(version))
    last: nn.Module = nn.ReLU() if version == OLD else nn.Tanh()
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3), last).eval()


MODELS = {version: model(version) for version in VERSIONS}
EXPORTED = {version: fx2caffe.export(module, X) for version, module in MODELS.items()}
with torch.no_grad():
    RESULTS = {version: module(X) for version, module in MODELS.items()}
_zoo_version = OLD


def zoo_model() -> tuple[nn.Module, Tensor]:
    """Return the model of the version that the zoo is to export."""
    return MODELS[_zoo_version], X


@dataclass(frozen=True)
class Writer:
    """Writes one version into a folder; `read` returns the version that is there.

    Where `mixes`, files of two writers at the same time may be refused afterwards.
    """

    write: Callable[[Path, str], Any]
    read: Callable[[Path], str]
    mixes: bool = False


def _net(weights: str) -> Writer:
    def write(folder: Path, version: str) -> None:
        exported = fx2caffe.export(MODELS[version], X)
        exported.save(folder / "net.prototxt", folder / weights)

    return Writer(write, lambda folder: _loaded(folder / "net.prototxt", folder / weights))


def _loaded(prototxt: Path, weights: Path) -> str:
    try:
        module = caffe2fx.load(prototxt, weights)
    except CaffeError as error:
        return MIXED if "belong" in str(error) else f"does not load: {error}"
    with torch.no_grad():
        return _version_of(module(X))


def _version_of(result: Tensor) -> str:
    for version, wanted in RESULTS.items():
        if torch.allclose(result, wanted, atol=1e-5):
            return version
    return "a mixture"


def _text(name: str, write: Callable[[Export, Path], Any], end: str) -> Writer:
    """Return a writer of one text file; only one version's text says `Tanh`."""

    def read(folder: Path) -> str:
        text = (folder / name).read_text("utf-8")
        if not text.endswith(end):
            return "cut"
        return NEW if "tanh" in text.lower() else OLD

    return Writer(lambda folder, version: write(EXPORTED[version], folder / name), read)


def _converted(name: str, read: Callable[[Path], Tensor]) -> Writer:
    def write(folder: Path, version: str) -> None:
        files = folder.parent / f"{version}.prototxt", folder.parent / f"{version}.caffemodel"
        if not files[1].exists():
            EXPORTED[version].save(*files)
        # What pytest catches is a file too.
        with redirect_stderr(io.StringIO()) as stated, redirect_stdout(io.StringIO()):
            status = cli.main(["load", *map(str, files), "-o", str(folder / name)])
        if status:
            raise CaffeError(stated.getvalue())

    return Writer(write, lambda folder: _version_of(read(folder / name)))


def _run_state(path: Path) -> Tensor:
    state = torch.load(path, weights_only=True)
    found = [v for v, m in MODELS.items() if torch.equal(m[0].weight, next(iter(state.values())))]  # type: ignore[index]
    return RESULTS[found[0]] if found else X


def _run_program(path: Path) -> Tensor:
    result = torch.export.load(path).module()(X)
    return next(iter(result.values())) if isinstance(result, dict) else result  # type: ignore[no-any-return]


def _dump(name: str) -> Writer:
    def read(folder: Path) -> str:
        try:
            maps = caffe2fx.read_dump(folder / name).maps
        except CaffeFormatError:
            return MIXED
        found = {one.name: torch.from_numpy(one.value) for one in maps}
        for version in VERSIONS:
            wanted = _maps(version)
            if found.keys() == wanted.keys() and all(found[n].equal(wanted[n]) for n in wanted):
                return version
        return "a mixture"

    mixes = "." not in name  # many files in a folder
    return Writer(lambda folder, version: EXPORTED[version].dump(folder / name), read, mixes)


@cache
def _maps(version: str) -> dict[str, Tensor]:
    with tempfile.TemporaryDirectory() as folder:
        EXPORTED[version].dump(Path(folder, "maps.npz"))
        found = caffe2fx.read_dump(Path(folder, "maps.npz")).maps
        return {one.name: torch.from_numpy(one.value) for one in found}


JOB = Job("tests.faults.writers:zoo_model")


def _write_zoo(folder: Path, version: str) -> None:
    global _zoo_version
    _zoo_version = version
    row = run_job(JOB, folder, lambda _: True)
    assert row is not None
    if row.verdict != "equal":
        raise CaffeError(str(row.reasons))
    row.save(JOB.row_in(folder))
    run_zoo([JOB.name], output=folder)


def _read_zoo(folder: Path) -> str:
    return _loaded(folder / f"{JOB.stem}.prototxt", folder / f"{JOB.stem}.caffemodel")


@cache
def _mirrored(parent: Path) -> dict[str, list[Package]]:
    """Write a mirror of each version, once: no fault is to meet the mirrors."""
    return {version: published(parent / version, f"echo 0.0 0.0 2.5 # {version}")
            for version in VERSIONS}  # fmt: skip


@contextmanager
def _installer_of(folder: Path, version: str) -> Iterator[None]:
    """Let real Caffe be one version of a shell script, on a mirror beside the cache `folder`."""
    packages = _mirrored(folder.parent)[version]
    with (
        mock.patch.dict(os.environ, CAFFE2FX_CACHE=str(folder)),
        mock.patch.multiple(
            installer,
            _packages=lambda machine: packages,
            mirrors=lambda given: [(folder.parent / version).as_uri()],
            write_stubs=lambda libcaffe, stubs: None,
        ),
    ):
        yield


def _install(folder: Path, version: str) -> None:
    with _installer_of(folder, version):
        installer.install()


def _installed(folder: Path) -> str:
    """Return the version that counts as installed; none does between the two renames."""
    for version in VERSIONS:
        with _installer_of(folder, version):
            if found := installer.installed():
                whole = Path(found.command[0]).read_text().endswith(f" {version}\n")
                return version if whole else "a mixture"
    return MIXED


WRITERS: dict[str, Writer] = {
    "caffemodel": _net("net.caffemodel"),
    "HDF5": _net("net.caffemodel.h5"),
    "report": _text("net.html", lambda export, path: export.verify().save(path), "</html>\n"),
    "map": _text("map.tsv", lambda export, path: export.save_map(path), "\n"),
    "pt": _converted("net.pt", _run_state),
    "pt2": _converted("net.pt2", _run_program),
    "folder of maps": _dump("maps"),
    "npz": _dump("maps.npz"),
    "safetensors": _dump("maps.safetensors"),
    "zoo": Writer(_write_zoo, _read_zoo),
    "installer": Writer(_install, _installed),
}
