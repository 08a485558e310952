"""Losses of blobs that are one memory in Caffe: its sum where it has one, a refusal elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import caffe2fx
from caffe2fx.engines.opencv import OpenCVEngine
from caffe2fx.errors import CaffeError
from caffe2fx.files.prototxt import parse, text_of
from tests.files.caffes_own import forward_twice
from tests.net.memory_nets import GIVEN, layer, net, over, reader

SLICED = layer("Slice", "x", "a b", "loss_weight: 1 loss_weight: 10")
EUCLID = layer("EuclideanLoss", "x data", "l", "loss_weight: 2")
LOSSES = {
    "a weighted top that is read": layer("ReLU", "x", "a", "loss_weight: 3") + reader("a"),
    "a loss that is read": layer("EuclideanLoss", "x data", "l") + reader("l"),
    "weighted tops that are both read": SLICED + reader("a", "p") + reader("b", "q"),
    "behind an in-place layer": over("x", "over", "ReLU", "loss_weight: 3") + reader("x"),
    "a weighted top with two readers": layer("ReLU", "x", "a", "loss_weight: 3")
    + reader("a", "p")
    + reader("a", "q"),
    "its memory is overwritten": layer("ReLU", "x", "a", "loss_weight: 3")
    + layer("Flatten", "a", "b")
    + over("b", "over", "Power", "power_param { shift: 1 }"),
    "an input": layer(
        "Input", "", "z", "loss_weight: 2 input_param { shape { dim: 1 dim: 4 dim: 2 dim: 2 } }"
    )
    + reader("z")
    + reader("x", "o"),
    "a loss that is overwritten": layer("EuclideanLoss", "x data", "l") + over("l"),
    "a loss and a weighted copy": layer("EuclideanLoss", "x data", "l")
    + layer("Power", "l", "c", "loss_weight: 2"),
    "not weighted in the end": over("x", "over", "ReLU", "loss_weight: 0") + reader("x"),
}


@pytest.mark.pycaffe
@pytest.mark.parametrize("text", LOSSES.values(), ids=LOSSES)
def test_losses_behind_splits(tmp_path: Path, text: str) -> None:
    path = net(tmp_path, text)
    loaded = caffe2fx.load(path)
    given = {name: GIVEN["data"] + n for n, name in enumerate(loaded.caffe.inputs)}
    (theirs, _), losses = forward_twice(path, given)
    mine = float(loaded.caffe.loss(*given.values()))
    assert losses == pytest.approx([mine, mine], rel=1e-5, abs=1e-5)
    assert list(loaded.caffe.outputs) == sorted(theirs)
    values = loaded.caffe.blobs(*given.values())
    for name, value in theirs.items():
        torch.testing.assert_close(values[name], value, msg=name)
    assert parse(text_of(loaded.caffe.net)) == parse(path.read_text())
    caffe2fx.save_weights(loaded, tmp_path / "net.caffemodel")
    files = path, tmp_path / "net.caffemodel"
    report = caffe2fx.compare(loaded, files, tuple(given.values()), engine="pycaffe")
    assert report.ok, str(report)


NO_OPENCV = OpenCVEngine().why_missing()


@pytest.mark.skipif(NO_OPENCV is not None, reason=str(NO_OPENCV))
def test_opencv_has_no_losses(tmp_path: Path) -> None:
    path = net(tmp_path, LOSSES["weighted tops that are both read"])
    loaded = caffe2fx.load(path)
    caffe2fx.save_weights(loaded, tmp_path / "net.caffemodel")
    files = path, tmp_path / "net.caffemodel"
    report = caffe2fx.compare(loaded, files, GIVEN["data"], engine="opencv")
    assert report.ok, str(report)


LOST = {
    "a weighted loss that is read": EUCLID + reader("l"),
    "one of two weighted tops that is read": SLICED + reader("a"),
}
LOSS = layer("EuclideanLoss", "x data", "l")
VECTOR = LOSS + layer("Reshape", "l", "c", "reshape_param { shape { dim: 1 } }")
# The loss has a weight of 1 by default, which is in the memory of its gradient.
REPLACED = {
    "overwritten": LOSS + over("l", "over", "ReLU", "loss_weight: 2"),
    "reshaped": LOSS
    + layer("Reshape", "l", "c", "loss_weight: 2 reshape_param { shape { dim: 1 } }"),
    "concatenated alone": VECTOR
    + layer("Concat", "c", "d", "loss_weight: 2 concat_param { axis: 0 }"),
    "sliced into one": VECTOR + layer("Slice", "c", "d", "loss_weight: 2 slice_param { axis: 0 }"),
    "overwritten behind a reshape": VECTOR + over("c", "over", "ReLU", "loss_weight: 2"),
}


@pytest.mark.pycaffe
@pytest.mark.parametrize("text", REPLACED.values(), ids=REPLACED)
def test_weights_that_caffe_replaces_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(
        CaffeError, match=r"needs a copy of '\w', whose gradient is the same memory"
    ):
        caffe2fx.load(net(tmp_path, text))
    _, losses = forward_twice(net(tmp_path, text), GIVEN)
    loss = float(caffe2fx.load(net(tmp_path, LOSS)).caffe.loss(GIVEN["data"]))
    assert losses[0] == pytest.approx(4 * loss)  # not 1 + 2 times: 2 counts for both


@pytest.mark.pycaffe
@pytest.mark.parametrize("text", LOST.values(), ids=LOST)
def test_losses_that_caffe_loses_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(CaffeError, match="needs loss_weight on tops that no layer reads"):
        caffe2fx.load(net(tmp_path, text))
    _, losses = forward_twice(net(tmp_path, text), GIVEN)
    unread = caffe2fx.load(net(tmp_path, text.split('layer { name: "out"')[0]))
    assert losses[0] != pytest.approx(float(unread.caffe.loss(GIVEN["data"])))
