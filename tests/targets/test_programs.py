"""`portable` nets in MNN, OpenVINO and ncnn, each in an environment of its own, made by the test.

Their results are held against the verdict's own limit end to end: none needs a tolerance of its
own. The converter of ncnn, caffe2ncnn, is in none of its wheels and source archives, nor in
Debian: it is built of tools/caffe in ncnn's repository (protoc, then one call of the compiler), and
ncnn's part is not run where there is none on the path.

`python -m pytest -m long tests/targets/test_programs.py -k every_function` runs all rows of
tests/ops: minutes in MNN and ncnn, an hour in OpenVINO.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

import fx2caffe
from caffe2fx.errors import CaffeError
from caffe2fx.layers import Power, Reshape
from caffe2fx.net.step import Step, Value
from caffe2fx.verdict.module_outputs import Known, output_rows
from caffe2fx.verdict.reference.second_inputs import second_input
from caffe2fx.verdict.result.report import Report
from tests.models import test_popular as popular
from tests.models.test_torchvision import MODELS, model_of
from tests.opencv import assert_near
from tests.ops.test_ops import EXPORTED
from tests.programs import environment
from tests.rows import Row
from tests.targets.nets import REFUSED, ROWS
from tests.targets.test_models import OTHERS
from tests.targets.test_opencv import cut

pytestmark = pytest.mark.long
HERE = Path(__file__).parent


class Needs(NamedTuple):
    """Holds the needs of a program: a Python, packages, some left out, and a command."""

    python: str
    packages: tuple[str, ...]
    unwanted: tuple[str, ...] = ()
    command: str | None = None


PROGRAMS = {
    "mnn": Needs("3.10", ("MNN==3.6.1", "numpy<2")),
    # It wants to report its use, by a call that its own Python does not have.
    "openvino": Needs("3.8", ("openvino-dev[caffe]==2022.3.2",), ("openvino-telemetry",)),
    "ncnn": Needs("3.11", ("ncnn==1.0.20261020", "numpy"), command="caffe2ncnn"),
}


class Program:
    """Runs net after net in one program; where a net ends it, the next starts it again."""

    def __init__(self, name: str, python: Path) -> None:
        self.name, self._command = name, [str(python), str(HERE / f"run_{name}.py")]
        self._process: subprocess.Popen[str] | None = None

    def results(self, folder: Path) -> dict[str, Tensor]:
        """Return the program's result for the net and the inputs in a folder, by each name."""
        error = folder / "error.txt"
        assert self._runs(folder), f"{self.name} ended at {folder}"
        assert not error.exists(), error.read_text()
        with np.load(folder / "out.npz") as found:
            return {
                name: torch.from_numpy(value)
                for names, value in found.items()
                for name in names.split("|")
            }

    def _runs(self, folder: Path) -> bool:
        if self._process is None or self._process.poll() is not None:
            self.end()
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        print(folder, file=self._process.stdin, flush=True)
        # The programs print much of their own.
        return any(line.rstrip("\n") == str(folder) for line in self._process.stdout)

    def end(self) -> None:
        if self._process is not None:
            self._process.communicate()


@pytest.fixture(scope="module", params=PROGRAMS)
def program(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    needs = PROGRAMS[request.param]
    if needs.command is not None and shutil.which(needs.command) is None:
        pytest.skip(f"not run: no {needs.command} on the path")
    folder = tmp_path_factory.mktemp(request.param)
    python = environment(folder, needs.python, needs.packages)
    for package in needs.unwanted:
        subprocess.run([python, "-m", "pip", "uninstall", "-q", "-y", package], check=True)
    program = Program(request.param, python)
    yield program
    program.end()


@pytest.mark.parametrize("row", EXPORTED, ids=lambda row: row.id)
def test_every_function(program: Program, row: Row, tmp_path: Path) -> None:
    """Each row of tests/ops that `portable` does not refuse, at batch 1."""
    inputs = tuple(map(cut, row.inputs()))
    try:
        made = fx2caffe.export(row.model(), inputs, **{**row.options, "target": "portable"})
    except fx2caffe.UnsupportedError:
        return
    except CaffeError:
        pytest.skip("not run: the function needs two samples")
    for wanted, found in run(program, made, tmp_path):
        assert_near(found, wanted, row.id)


DECOMPOSED = [row for row in ROWS if ("portable", row.id) not in REFUSED]


@pytest.mark.parametrize("row", DECOMPOSED, ids=lambda row: row.id)
def test_small_nets(program: Program, row: Row, tmp_path: Path) -> None:
    exported = fx2caffe.export(row.model(), tuple(row.inputs()), target="portable")
    check(program, exported, tmp_path)


@pytest.mark.parametrize("name", (*MODELS, *OTHERS))
def test_models(program: Program, name: str, tmp_path: Path) -> None:
    model, x = model_of(name, MODELS.get(name, 64))
    check(program, fx2caffe.export(model, x, target="portable"), tmp_path)


@pytest.mark.parametrize("name", popular.PORTABLE)
def test_popular_nets(program: Program, name: str, tmp_path: Path) -> None:
    check(program, popular.exported(name, "portable"), tmp_path)


def run(program: Program, exported: fx2caffe.Export, folder: Path) -> list[tuple[Tensor, Tensor]]:
    """Return torch's and the program's result for each output."""
    exported.save(folder / "net.prototxt", folder / "net.caffemodel")
    given = exported.verify_inputs()
    named = zip(exported.inputs, given, strict=True)
    np.savez(folder / "in.npz", **{name: value.float().numpy() for name, value in named})
    found, wanted = program.results(folder), exported.reference(given)
    makers = {value: step for step in exported.net.steps for value in step.tops}
    return [
        (wanted[value], named_like(found, value, makers).reshape(wanted[value].shape))
        for value in exported.net.outputs
    ]


def check(program: Program, exported: fx2caffe.Export, folder: Path) -> None:
    exported.save(folder / "net.prototxt", folder / "net.caffemodel")
    given = exported.verify_inputs()
    named = zip(exported.inputs, given, strict=True)
    np.savez(folder / "in.npz", **{name: value.numpy() for name, value in named})
    found = program.results(folder)
    exact, rounded, other = (
        {value.blob: known[value] for value in exported.net.outputs}
        for change in (Tensor.double, Tensor.float, second_input)
        for known in [exported.reference([change(value) for value in given])]
    )
    makers = {value: step for step in exported.net.steps for value in step.tops}
    mine = {
        # Some give results of two and three axes as four.
        value.blob: named_like(found, value, makers).reshape(exact[value.blob].shape)
        for value in exported.net.outputs
    }
    report = Report(program.name, output_rows(Known(exact, rounded, [other]), mine))
    assert report.ok, str(report)


def named_like(found: Mapping[str, Tensor], value: Value, makers: Mapping[Value, Step]) -> Tensor:
    """Return a result by its blob, or by the program's name where a layer wrote in place.

    That is the layer in MNN, both in ncnn, and the last of its parts in OpenVINO, which leaves
    copies out.
    """
    layer = makers[value].name
    names = [value.blob, layer, f"{value.blob}_{layer}"]
    names += [name for name in found if name.startswith(f"{layer}/")]
    known = next((name for name in names if name in found), None)
    if known is None and (makers[value].layer == Power() or _is_distinguishing(makers[value])):
        return named_like(found, makers[value].bottoms[0], makers)
    assert known is not None, f"no result {value.blob} of {layer} among {list(found)}"
    return found[known]


def _is_distinguishing(step: Step) -> bool:
    """Return whether a layer is the identity Reshape before one that equals another output's."""
    return isinstance(step.layer, Reshape) and not any(step.layer.shape or ())
