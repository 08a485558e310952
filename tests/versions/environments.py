"""Environments of the versions that the packages support, and the tests that run in each."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

# What the tests need beside torch: pip takes of each the version that goes with the pinned ones.
COMMON = (
    *("expecttest", "h5py", "hypothesis", "onnx", "onnxruntime", "opencv-python-headless<5"),
    *("pytest>=8", "rich", "safetensors"),
)
MEANINGS = ("tests/ops", "tests/layers", "tests/legalize", "tests/passes", "tests/detection")
TRACING = ("tests/tracing", "tests/exporter", "tests/optimize")
LOADING = ("tests/module", "tests/net", "tests/verdict", "tests/engines")
FILES = ("tests/files", "tests/weights", "tests/report", "tests/fuzz", "tests/versions")
EVERYTHING = (*MEANINGS, *TRACING, *LOADING, *FILES)
SCHEMA = ("tests/files",)


@dataclass(frozen=True)
class Environment:
    """A Python, the packages in it, and the tests that run there.

    `over` names an environment whose other packages are used too; `variables` are set and
    `plugin`, a module, is imported before anything else.
    """

    name: str
    python: str
    packages: tuple[str, ...]
    tests: tuple[str, ...] = EVERYTHING
    over: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    plugin: str | None = None


def _torch(name: str, python: str, torch: str, torchvision: str, *others: str) -> Environment:
    pins = (f"torch=={torch}", f"torchvision=={torchvision}", *others)
    return Environment(name, python, (*pins, *COMMON))


def _over(
    name: str, below: Environment, *packages: str, plugin: str | None = None, **variables: str
) -> Environment:
    return Environment(name, below.python, packages, SCHEMA, below.name, variables, plugin)


PURE = {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
CAFFE_PB2_FIRST = "tests.versions.caffe_pb2_first"
OLDEST = _torch("torch-2.2", "3.10", "2.2.2", "0.17.2", "numpy==1.26.4", "protobuf==4.22.5")
NEWEST = _torch("newest", "3.13", "2.14.1", "0.29.1", "numpy>=2.5", "protobuf>=7.36", "onnxscript")

ENVIRONMENTS = (
    OLDEST,
    _torch("torch-2.4", "3.12", "2.4.1", "0.19.1", "numpy==1.26.4", "protobuf==5.29.5"),
    NEWEST,
    _over("protobuf-4", NEWEST, "protobuf==4.25.8"),
    _over("protobuf-4-pure", NEWEST, "protobuf==4.25.8", **PURE),
    _over("protobuf-7-pure", NEWEST, **PURE),
    _over("caffe_pb2-first", NEWEST, plugin=CAFFE_PB2_FIRST),
    _over("caffe_pb2-first-pure", NEWEST, plugin=CAFFE_PB2_FIRST, **PURE),
)
NAMES = tuple(each.name for each in ENVIRONMENTS)


def named(name: str) -> Environment:
    """Return the environment of a name."""
    return ENVIRONMENTS[NAMES.index(name)]


def make(environment: Environment, folder: Path) -> Path:
    """Make an environment in a folder, after the one below it, and return its python.

    Packages that are there stay: a second attempt goes on where the first was stopped.
    """
    place = folder / environment.name
    python = place / "bin" / "python"
    below = make(named(environment.over), folder) if environment.over else None
    if not python.exists():
        made_by = below or find_python(environment.python)
        subprocess.run([made_by, "-m", "venv", place], check=True)
    if below:
        (_packages_of(python) / "below.pth").write_text(f"{_packages_of(below)}\n", "utf-8")
    if environment.packages:
        install = [python, "-m", "pip", "install", "-q", "--no-cache-dir", *environment.packages]
        subprocess.run(install, check=True)
    return python


def find_python(version: str) -> Path:
    """Return a Python of that version, of pyenv or on the path."""
    for python in _pythons(version):
        asked = subprocess.run([python, "-V"], check=False, capture_output=True, text=True)
        if asked.stdout.startswith(f"Python {version}."):
            return python
    raise FileNotFoundError(f"the environment needs Python {version}: pyenv install {version}")


def _pythons(version: str) -> Iterator[Path]:
    root = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    yield from sorted(root.glob(f"versions/{version}*/bin/python"))
    if found := shutil.which(f"python{version}"):
        yield Path(found)


def _packages_of(python: Path) -> Path:
    ask = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    asked = subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True)
    return Path(asked.stdout.strip())
