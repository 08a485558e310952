"""A net of Caffe's that is exported again keeps the names that programs ask its blobs for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import caffe2fx
import fx2caffe

INPUT = """layer { name: "in" type: "Input" top: "image"
  input_param { shape { dim: 1 dim: 4 dim: 8 dim: 8 } } }
"""


def layer(type_: str, bottoms: str, tops: str, more: str = "") -> str:
    wires = "".join(f' bottom: "{b}"' for b in bottoms.split())
    wires += "".join(f' top: "{t}"' for t in tops.split())
    name = "layer_of_" + tops.replace(" ", "_")
    return f'layer {{ name: "{name}" type: "{type_}"{wires} {more} }}\n'


CONV = 'convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } }'
CASES = {
    "tops that are not called as their layers": layer("Convolution", "image", "c", CONV)
    + layer("Softmax", "c", "prob"),
    "in place as in the file": layer("Convolution", "image", "c", CONV)
    + layer("ReLU", "c", "c")
    + layer("Softmax", "c", "prob"),
    "not in place as in the file": layer("Convolution", "image", "c", CONV)
    + layer("ReLU", "c", "r")
    + layer("TanH", "r", "t"),
    "two tops": layer("Slice", "image", "one two", "slice_param { slice_point: 1 }")
    + layer("ReLU", "one", "p")
    + layer("ReLU", "two", "q"),
    "a top called as another layer": layer("Convolution", "image", "layer_of_r", CONV)
    + layer("ReLU", "layer_of_r", "r"),
    "an output that nothing changes": layer("TanH", "image", "t") + layer("Dropout", "t", "drop"),
    "layers of several": layer(
        "Permute", "image", "turned", "permute_param { order: [0, 2, 3, 1] }"
    )
    + layer("Normalize", "turned", "norm")
    + layer("ReLU6", "norm", "cut"),
}
SAME_VALUE = {"drop": "t"}  # of two blobs that are one value the output's name stays


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("text", CASES.values(), ids=CASES)
def test_names_stay(tmp_path: Path, text: str, fold: bool) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(INPUT + text)
    model = caffe2fx.load(path)
    net = fx2caffe.export(model, torch.randn(1, 4, 8, 8), fold_batchnorm=fold)
    assert (net.inputs, net.outputs) == (model.caffe.inputs, model.caffe.outputs)
    wanted = {top.blob for step in model.caffe.net for top in step.tops}
    lost = wanted - {top.blob for step in net.net for top in step.tops}
    assert lost <= {SAME_VALUE[name] for name in net.outputs if name in SAME_VALUE}
    assert net.verify().ok
    mine, theirs = (model(x := torch.randn(1, 4, 8, 8)), saved(net, tmp_path))
    assert theirs.caffe.outputs == model.caffe.outputs
    for one, two in zip(tensors(mine), tensors(theirs(x)), strict=True):
        torch.testing.assert_close(one, two)
    blobs, again = model.caffe.blobs(x), theirs.caffe.blobs(x)
    for name in wanted - lost:
        torch.testing.assert_close(blobs[name], again[name], msg=name)


def saved(net: fx2caffe.Export, folder: Path) -> caffe2fx.CaffeGraphModule:
    files = folder / "again.prototxt", folder / "again.caffemodel"
    net.save(*files)
    return caffe2fx.load(*files)


def tensors(results: object) -> list[torch.Tensor]:
    return list(results) if isinstance(results, tuple) else [results]  # type: ignore[list-item]


def test_names_that_the_caller_gives_count(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(INPUT + CASES["in place as in the file"])
    net = fx2caffe.export(
        caffe2fx.load(path), torch.randn(1, 4, 8, 8), input_names=["x"], name_alphabet="[a-z]"
    )
    assert net.inputs == ("x",) and net.outputs == ("prob",)
