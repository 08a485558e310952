"""Real nets of public projects: they load, and give real Caffe's values on every blob."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import caffe2fx
from caffe2fx.cli.inputs import random_inputs
from caffe2fx.engines import Engine
from caffe2fx.errors import CaffeError, ShapeMismatchError
from caffe2fx.files import prototxt
from caffe2fx.layers import REGISTRY, DummyData, Input
from caffe2fx.net.net import Net
from caffe2fx.net.step import is_input
from caffe2fx.verdict.reference.calibrate import calibrate
from tests.conftest import corpus_folder
from tests.corpus.shapes import with_shapes

FOLDER = corpus_folder()
pytestmark = pytest.mark.corpus


def _covered(types: str) -> bool:
    return all(entry.split(":")[0] in REGISTRY for entry in types.split(","))


def _rows() -> list[dict[str, str]]:
    if FOLDER is None:
        return []
    with (FOLDER / "nets.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


# Nets that real Caffe builds, of layers that have records.
COVERED = [
    row for row in _rows() if row["instantiated_in_caffe"] == "yes" and _covered(row["layer_types"])
]
BUILT = [row["path"] for row in COVERED]
WEIGHTS = json.loads((FOLDER / "weights.json").read_text()) if FOLDER else []


def used(entry: dict[str, Any]) -> str:
    """Return the prototxt to run: the one of the reference, but with the forks' own layers."""
    assert FOLDER is not None
    used = entry["reference"].get(".used.prototxt", entry["prototxt"])
    emulated = 'module: "emul"' in (FOLDER / used).read_text()
    return str(entry["prototxt"] if emulated else used)


# Deep nets of real weights that make 1e-4 of float32's own noise: their errors prove nothing.
AMPLIFYING = re.compile(r"upresnet10/noise[123]_scale")
REFERENCES = [entry for entry in WEIGHTS if not AMPLIFYING.search(entry["caffemodel"])]

# Nets for use that real Caffe does not build: of layers or fields that only forks have.
FORKS = [
    row["path"]
    for row in _rows()
    if row["kind"] == "deploy" and row["instantiated_in_caffe"] != "yes"
]
# The faults of those that do not load.
REFUSED = {
    "MobileNetSSD_deploy_template.prototxt": r"Couldn't parse integer: cls3x",
    "test_noPooling_ResNet_cinque.prototxt": r"\(PReLU\) needs a bottom of rank 2 to 4",
    "deploy_rfcn_coco_resnext101-32x4d-merge.prototxt":
        r"'cls_prob_reshape' \(Reshape\) needs a shape of 81 elements .* got \(-1, 21\)",
}  # fmt: skip


def test_there_are_nets() -> None:
    assert len(BUILT) >= 20 and len(WEIGHTS) == 30 and len(REFERENCES) == 27
    assert len(FORKS) == 117 and len(REFUSED) <= 0.03 * len(FORKS)


@pytest.mark.parametrize("path", FORKS, ids=lambda path: path.removeprefix("nets/"))
def test_nets_of_forks_load(path: str, corpus: Path) -> None:
    refused = REFUSED.get(Path(path).name)
    if refused is None:
        net = prototxt.read(corpus / path)
        assert set(net.outputs) <= set(net.shapes())
        return
    with pytest.raises(CaffeError, match=refused) as error:
        prototxt.read(corpus / path).shapes()
    assert f"{Path(path).name}:" in str(error.value)


def _fed(path: Path, folder: Path) -> Path:
    """Return the net's own file, with inputs in place of layers that read data or draw."""
    net = prototxt.read(path)
    if net.inputs and all(isinstance(step.layer, Input) for step in net if is_input(step)):
        return path
    net = with_shapes(net, str(path))
    steps = tuple(
        replace(step, layer=Input(shape=step.layer.shape))
        if isinstance(step.layer, DummyData)
        else step
        for step in net.steps
    )
    text = folder / "fed.prototxt"
    text.write_text(prototxt.text_of(replace(net, steps=steps)))
    return text


def _small(net: Net) -> Net:
    """Return the net with a batch of one, where it allows that: some have thousands."""
    try:
        shapes = net.shapes()
        one = net.reshaped([(1, *shapes[value][1:]) for value in net.inputs])
        one.shapes()
    except ShapeMismatchError:
        return net
    return one


@pytest.mark.parametrize("row", COVERED, ids=lambda row: row["path"].removeprefix("nets/"))
def test_loads(row: dict[str, str], corpus: Path) -> None:
    net = with_shapes(prototxt.read(corpus / row["path"]), row["path"])
    shapes = net.shapes()
    # The table was made with a batch of one.
    wanted = {name: tuple(shape[1:]) for name, shape in json.loads(row["outputs"]).items()}
    assert {value.blob: shapes[value][1:] for value in net.outputs} == wanted


@pytest.mark.pycaffe
@pytest.mark.sweep
@pytest.mark.parametrize("path", BUILT, ids=lambda path: path.removeprefix("nets/"))
def test_equals_real_caffe(path: str, corpus: Path, tmp_path: Path, caffe: Engine) -> None:
    text = _fed(corpus / path, tmp_path)
    loaded = caffe2fx.load(text)
    inputs = random_inputs(_small(loaded.caffe.net))
    # A vector is of labels: class 1 is one that all have, and of pairs it states that they match.
    inputs = [torch.ones_like(value) if value.dim() == 1 else value for value in inputs]
    calibrate(loaded, inputs)
    weights = tmp_path / "net.caffemodel"
    caffe2fx.save_weights(loaded, weights)
    loaded = caffe2fx.load(text, weights)
    report = caffe2fx.compare((text, weights), loaded, tuple(inputs), engine=caffe)
    # With the same label for all, a share of right ones may well stay as it was.
    counted = [row for row in report.rows if row.type == "Accuracy"]
    assert all(row.alone == 0 for row in counted)
    assert not [row for row in report.rows if row.fault and row not in counted], str(report)


@pytest.mark.parametrize(
    "entry",
    REFERENCES,
    ids=lambda entry: Path(entry["caffemodel"]).name,
)
def test_reference_outputs(entry: dict[str, Any], corpus: Path) -> None:
    loaded = caffe2fx.load(corpus / used(entry), corpus / entry["caffemodel"])
    reference = np.load(corpus / entry["reference"][".npz"])
    inputs = {name: torch.from_numpy(reference[f"in:{name}"]) for name in loaded.caffe.inputs}
    with torch.no_grad():
        blobs = loaded.caffe.blobs(inputs)
    for name in loaded.caffe.outputs:
        wanted = torch.from_numpy(reference[f"out:{name}"])
        signal = float(wanted.abs().max())
        assert blobs[name].shape == wanted.shape
        assert float((blobs[name] - wanted).abs().max()) <= 1e-4 * signal
