"""`portable` nets in MNN and OpenVINO, each in an environment of its own, made by the test."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import fx2caffe
from tests.models.test_torchvision import model_of
from tests.rows import Row
from tests.targets.nets import REFUSED, ROWS

pytestmark = pytest.mark.long
HERE = Path(__file__).parent
MODELS = ("squeezenet1_1", "resnet18", "mobilenet_v3_small", "shufflenet_v2_x1_0")
# Both convolve by Winograd's algorithm, which rounds more than Caffe does.
TOLERANCE = 1e-4  # of the largest number of an output
PROGRAMS = {
    "mnn": ("3.10", ["MNN==3.6.1", "numpy<2"], []),
    # It wants to report its use, by a call that its own Python does not have.
    "openvino": ("3.8", ["openvino-dev[caffe]==2022.3.2"], ["openvino-telemetry"]),
}


def interpreter(version: str) -> str | None:
    """A Python of that version, of the path or of pyenv."""
    found = shutil.which(f"python{version}")
    known = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for candidate in [found, *map(str, known)]:
        if candidate and subprocess.run([candidate, "-V"], capture_output=True).returncode == 0:
            return candidate
    return None


@pytest.fixture(scope="module", params=PROGRAMS)
def program(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """The name of a program and the Python that has it."""
    version, packages, unwanted = PROGRAMS[request.param]
    base = interpreter(version)
    if base is None:
        pytest.skip(f"not run: no Python {version}")
    folder = tmp_path_factory.mktemp(request.param)
    python = folder / "bin" / "python"
    subprocess.run([base, "-m", "venv", folder], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    for package in unwanted:
        subprocess.run([python, "-m", "pip", "uninstall", "-q", "-y", package], check=True)
    return request.param, python


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_small_nets(program: tuple[str, Path], row: Row, tmp_path: Path) -> None:
    if ("portable", row.id) not in REFUSED:
        check(program, row.model(), row.inputs(), tmp_path)


@pytest.mark.parametrize("name", MODELS)
def test_models(program: tuple[str, Path], name: str, tmp_path: Path) -> None:
    model, x = model_of(name, 64)
    check(program, model, [x], tmp_path)


def check(
    program: tuple[str, Path], model: nn.Module, inputs: list[torch.Tensor], folder: Path
) -> None:
    exported = fx2caffe.export(model, tuple(inputs), target="portable")
    files = [folder / name for name in ("net.prototxt", "net.caffemodel", "in.npz", "out.npz")]
    exported.save(*files[:2])
    given = exported.verify_inputs()
    np.savez(files[2], **dict(zip(exported.inputs, [v.numpy() for v in given], strict=True)))
    script = HERE / f"run_{program[0]}.py"
    subprocess.run([program[1], script, *files, folder], check=True, capture_output=True)
    found = {name: value for names, value in np.load(files[3]).items() for name in names.split("|")}
    reference = exported.reference([value.double() for value in given])
    for value in exported.net.outputs:
        wanted, mine = reference[value], torch.from_numpy(found[value.blob]).double()
        # MNN gives results of two and three axes as four.
        error = (mine.reshape(wanted.shape) - wanted).abs().max() / wanted.abs().max()
        assert error <= TOLERANCE, f"{value.blob} errs by {float(error):.1e}"
