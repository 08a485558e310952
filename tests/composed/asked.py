"""Checks of a random program: it is right in each way that it may be used, or refused."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import Tensor

import caffe2fx
import fx2caffe
from caffe2fx.engines import Engine
from caffe2fx.engines.opencv import OpenCVEngine
from caffe2fx.verdict.maps.measures import largest
from fx2caffe.exporter.result import Export
from tests.composed.programs import Composed, Program
from tests.opencv import check_as_users_run_it

FAR = 1e-4  # of the largest element: more than float32's error over so few functions
ROUNDING = 2**-22  # of the largest value of any map, which a logsumexp or a difference leaves
HAS_OPENCV = OpenCVEngine().why_missing() is None


def outcome(program: Program, caffe: Engine) -> str:
    """Return how a program ends: "refused", "still" (nothing moves a map), "fixed" or "equal".

    Raises an error for anything else.
    """
    model = Composed(program).eval()
    try:
        made = fx2caffe.export(model, program.inputs())
    except fx2caffe.UnsupportedError:
        return "refused"
    report = made.verify(caffe)
    assert report.status != "differs", str(report)
    with tempfile.TemporaryDirectory() as folder:
        _check_loaded(model, made, Path(folder))
        if HAS_OPENCV:
            _check_in_opencv(program, Path(folder))
    if not report.ok:
        return "still"
    return "fixed" if made.batch_is_fixed else "equal"


@torch.no_grad()
def _check_loaded(model: Composed, made: Export, folder: Path) -> None:
    """Check that the files load, also at a free other batch, and export to the same again."""
    files = folder / "one.prototxt", folder / "one.caffemodel"
    made.save(*files)
    loaded = caffe2fx.load(*files)
    _check(made.outputs, caffe_outputs(loaded, model.program.inputs()), model)
    again = fx2caffe.export(loaded, tuple(model.program.inputs()))
    assert again.verify().status != "differs"
    if not made.batch_is_fixed:
        more = model.program.inputs(3)
        _check(made.outputs, caffe_outputs(caffe2fx.load(*files, batch=3), more), model)


def caffe_outputs(
    loaded: caffe2fx.CaffeGraphModule, inputs: tuple[Tensor, ...]
) -> dict[str, Tensor]:
    """Return every blob by its name, and the inputs that it was computed of."""
    by_name = dict(zip(loaded.caffe.inputs, inputs, strict=False))
    return loaded.caffe.blobs(*by_name.values()) | {"": inputs[0]}


def _check(names: tuple[str, ...], blobs: dict[str, Tensor], model: Composed) -> None:
    wanted = model(*(value.clone() for value in model.program.inputs(len(blobs[""]))))
    for name, value in zip(names, wanted, strict=True):
        error = float((blobs[name] - value).abs().max())
        assert blobs[name].shape == value.shape, name
        assert error <= FAR * max(1.0, float(value.abs().max())), f"{name} errs by {error}"


def _check_in_opencv(program: Program, folder: Path) -> None:
    """One sample, as OpenCV's users have it, with all of its defaults."""
    model = Composed(program).eval()
    one = tuple(value[:1] for value in program.inputs())
    try:
        with torch.no_grad():
            model(*(value.clone() for value in one))
        made = fx2caffe.export(model, one, target="portable")
    except (fx2caffe.UnsupportedError, RuntimeError):
        return
    maps = made.reference(made.verify_inputs()).values()
    check_as_users_run_it(made, folder, least=ROUNDING * max(map(largest, maps)))
