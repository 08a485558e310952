"""Weights files of any age load, or are refused: against real Caffe."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch

import caffe2fx
from caffe2fx.engines.pycaffe import Worker
from caffe2fx.errors import (
    CaffeError,
    CaffeFormatError,
    EngineError,
    ShapeMismatchError,
    UnknownLayerError,
)
from caffe2fx.files import descriptors, prototxt
from caffe2fx.weights import caffemodel, wire_format
from caffe2fx.weights.caffemodel import LayerWeights
from tests.files import caffes_own
from tests.net.nets import files, images, weights


def assert_real(text: Path, model: Path, x: torch.Tensor) -> None:
    """Check that the loaded net gives real Caffe's results for these files."""
    with torch.no_grad():
        ours = caffe2fx.load(text, model).caffe.blobs(x)
    for name, theirs in caffes_own.real_blobs(text, model, x).items():
        torch.testing.assert_close(ours[name], theirs, rtol=1e-4, atol=1e-5)


# Old files


def proto(**fields: Any) -> bytes:
    """Return a NetParameter of these fields as bytes."""
    made = descriptors.new("NetParameter")
    type(made)(**fields)
    return type(made)(**fields).SerializeToString()


def legacy_blob(blob: torch.Tensor) -> dict[str, Any]:
    """Return the blob as files had it before `shape`: four axes, ones in front."""
    sizes = (1,) * (4 - blob.dim()) + tuple(blob.shape)
    named = dict(zip(("num", "channels", "height", "width"), sizes, strict=True))
    return {**named, "data": blob.flatten().tolist()}


OLD_TEXT = """name: "old" input: "x" input_dim: 2 input_dim: 3 input_dim: 6 input_dim: 5
layers { name: "conv" type: CONVOLUTION bottom: "x" top: "c"
  convolution_param { num_output: 4 kernel_size: 3 } }
layers { name: "fc" type: INNER_PRODUCT bottom: "c" top: "f"
  inner_product_param { num_output: 2 } }
"""


def old_layers() -> dict[str, list[dict[str, Any]]]:
    """Return blobs for OLD_TEXT in the form of its days."""
    torch.manual_seed(1)
    return {
        "conv": [legacy_blob(torch.randn(4, 3, 3, 3)), legacy_blob(torch.randn(4))],
        "fc": [legacy_blob(torch.randn(2, 48)), legacy_blob(torch.randn(2))],
    }


def old_binary(age: str) -> bytes:
    """Return the weights of OLD_TEXT in a binary of that age."""
    wiring = {"conv": ("x", "c", 4, "conv"), "fc": ("c", "f", 14, "innerproduct")}
    layers = []
    for name, blobs in old_layers().items():
        bottom, top, number, word = wiring[name]
        inner = {"name": name, "blobs": blobs}
        if age == "V0":
            one = {"layer": {**inner, "type": word}, "bottom": [bottom], "top": [top]}
        else:
            one = {**inner, "type": number, "bottom": [bottom], "top": [top]}
        layers.append(one)
    if age == "V2":
        types = {"conv": "Convolution", "fc": "InnerProduct"}
        return proto(name="old", layer=[{**la, "type": types[la["name"]]} for la in layers])
    return proto(name="old", input=["x"], input_dim=[2, 3, 6, 5], layers=layers)


@pytest.mark.pycaffe
@pytest.mark.parametrize("age", ["V0", "V1", "V2"])
@pytest.mark.parametrize("text_age", ["V1", "V2"])
def test_old_binaries_go_into_nets_of_every_age(tmp_path: Path, age: str, text_age: str) -> None:
    text, model = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    todays = prototxt.text_of(prototxt.parse(OLD_TEXT))
    text.write_text(OLD_TEXT if text_age == "V1" else todays)
    model.write_bytes(old_binary(age))
    assert_real(text, model, torch.randn(2, 3, 6, 5))


LEGACY_SHAPES = {
    "bias 1x1x1xN": (1, [1, 1, 1, 2], True),
    "bias Nx1x1x1": (1, [2, 1, 1, 1], False),
    "bias 1xN": (1, [0, 0, 1, 2], False),
    "weights 1x1xNxK": (0, [1, 1, 2, 48], True),
    "weights NxKx1x1": (0, [2, 48, 1, 1], False),
}


@pytest.mark.pycaffe
@pytest.mark.parametrize(("index", "sizes", "fits"), LEGACY_SHAPES.values(), ids=LEGACY_SHAPES)
def test_which_old_shapes_fit(tmp_path: Path, index: int, sizes: list[int], fits: bool) -> None:
    text, model = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    text.write_text(OLD_TEXT)
    blobs = old_layers()
    blobs["fc"][index].update(zip(("num", "channels", "height", "width"), sizes, strict=True))
    layers = [{"name": name, "type": 4 if name == "conv" else 14, "blobs": given}
              for name, given in blobs.items()]  # fmt: skip
    model.write_bytes(proto(layers=layers))
    with Worker() as worker:
        if fits:
            worker.ask("load", prototxt=str(text), weights=str(model), phase="TEST")
            caffe2fx.load(text, model)
        else:
            with pytest.raises(EngineError):
                worker.ask("load", prototxt=str(text), weights=str(model), phase="TEST")
            with pytest.raises(CaffeError):
                caffe2fx.load(text, model)


@pytest.mark.pycaffe
def test_a_shape_of_today_must_be_exact(tmp_path: Path) -> None:
    text, model = files(tmp_path)
    conv, bn, fc = weights()
    wide = LayerWeights("fc", fc.type, (fc.blobs[0], fc.blobs[1].reshape(1, 1, 1, 2)))
    caffemodel.write(model, "small", [conv, bn, wide])
    with pytest.raises(ShapeMismatchError, match=r"2x24, 2, got 2x24, 1x1x1x2"):
        caffe2fx.load(text, model)
    with Worker() as worker, pytest.raises(EngineError):
        worker.ask("load", prototxt=str(text), weights=str(model), phase="TEST")


@pytest.mark.pycaffe
def test_gradients_without_weights_are_refused_as_in_caffe(tmp_path: Path) -> None:
    text, model = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    text.write_text(OLD_TEXT)
    blobs = old_layers()
    blobs["fc"][1]["diff"] = blobs["fc"][1].pop("data")
    model.write_bytes(proto(layers=[{"name": "fc", "type": 14, "blobs": blobs["fc"]}]))
    with pytest.raises(CaffeFormatError, match=r"2 values for layer 'fc', blob 1 .*gradients"):
        caffe2fx.load(text, model)
    with Worker() as worker, pytest.raises(EngineError):
        worker.ask("load", prototxt=str(text), weights=str(model), phase="TEST")


# Files that are no weights


def test_a_file_of_more_than_two_gigabytes_is_read(tmp_path: Path) -> None:
    """Two sparse blobs of 1.5 GB each, the last values of which are not zero."""
    path = tmp_path / "big.caffemodel"
    count = 400_000_000
    size = 4 * count
    with path.open("wb") as file:
        for name in ("first", "second"):
            shape = wire_format.encode_delimited(1, wire_format.encode_varint(count))
            data = wire_format.encode_tag(5, wire_format.DELIMITED) + wire_format.encode_varint(
                size
            )
            head = wire_format.encode_delimited(7, shape) + data
            names = wire_format.encode_delimited(1, name.encode())
            blob = wire_format.encode_tag(7, wire_format.DELIMITED) + wire_format.encode_varint(
                len(head) + size
            )
            length = len(names) + len(blob) + len(head) + size
            tag = wire_format.encode_tag(100, wire_format.DELIMITED) + wire_format.encode_varint(
                length
            )
            file.write(tag + names + blob + head)
            file.seek(size - 4, os.SEEK_CUR)
            file.write(struct.pack("<f", float(len(name))))
    assert path.stat().st_size > 2**31
    _, (first, second) = caffemodel.read(path)
    assert (first.name, second.name) == ("first", "second")
    assert first.blobs[0].shape == second.blobs[0].shape == (count,)
    assert (float(first.blobs[0][-1]), float(second.blobs[0][-1])) == (5.0, 6.0)
    assert float(second.blobs[0][0]) == 0.0


def solverstate() -> bytes:
    path = b"/snapshots/net_iter_1000.caffemodel"
    return b"\x08\xe8\x07" + wire_format.encode_delimited(2, path) + b"\x1a\x00"


def mean_file(*, shape: bool = False) -> bytes:
    made = descriptors.new("BlobProto")
    sizes: dict[str, Any] = {"num": 1, "channels": 3, "height": 2, "width": 2}
    fields = {"shape": {"dim": [1, 3, 2, 2]}} if shape else sizes
    return type(made)(data=[0.5] * 12, **fields).SerializeToString()


OTHERS = {
    "net.solverstate": (solverstate(), r"looks like a \.solverstate: .*give the \.caffemodel"),
    "mean.binaryproto": (mean_file(), r"looks like a \.binaryproto: a mean image"),
    "mean of today": (mean_file(shape=True), r"looks like a \.binaryproto: a mean image"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_forms_of_the_weights_argument(tmp_path: Path, name: str) -> None:
    text, _ = files(tmp_path)
    content, reason = OTHERS[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CaffeFormatError, match=reason):
        caffe2fx.load(text, path)
    with pytest.raises(CaffeFormatError, match=reason):
        caffe2fx.load(path)  # given as the prototxt


def test_an_hdf5_solverstate(tmp_path: Path) -> None:
    text, _ = files(tmp_path)
    path = tmp_path / "net.solverstate.h5"
    with h5py.File(path, "w") as file:
        file["iter"] = 3
        file["learned_net"] = "net.caffemodel.h5"
        file.create_group("history")
    with pytest.raises(CaffeFormatError, match=r"this looks like a \.solverstate"):
        caffe2fx.load(text, path)


# The net inside


@pytest.mark.pycaffe
def test_a_caffemodel_of_real_caffe_is_a_net_of_its_own(tmp_path: Path) -> None:
    text, model = files(tmp_path)
    saved = tmp_path / "saved.caffemodel"
    caffes_own.saved(text, saved, weights=model)
    x = images()
    both, alone = caffe2fx.load(text, model), caffe2fx.load(saved)
    assert alone.caffe.net.name == "small"
    for one, other in zip(both(x), alone(x), strict=True):
        assert torch.equal(one, other)
    renamed = tmp_path / "weights.bin"
    renamed.write_bytes(saved.read_bytes())
    assert torch.equal(caffe2fx.load(renamed)(x)[0], both(x)[0])
    one = caffe2fx.load(saved, outputs=["right"], batch=1)(images(1))
    assert torch.equal(one, both.caffe.blobs(images(1))["right"])


def test_the_net_inside_an_old_binary(tmp_path: Path) -> None:
    path = tmp_path / "old.caffemodel"
    layer = {"name": "r", "type": 18, "bottom": ["x"], "top": ["y"],
             "relu_param": {"negative_slope": 0.5}}  # fmt: skip
    path.write_bytes(proto(input=["x"], input_dim=[1, 2, 1, 1], layers=[layer]))
    module = caffe2fx.load(path)
    assert module(torch.tensor([[[[-2.0]], [[4.0]]]])).flatten().tolist() == [-1.0, 4.0]


def v2(*layers: dict[str, Any]) -> bytes:
    first = {"name": "in", "type": "Input", "top": ["x"],
             "input_param": {"shape": [{"dim": [1, 2, 4, 4]}]}}  # fmt: skip
    return proto(layer=[first, *layers])


def with_field(layer: bytes, number: int, payload: bytes) -> bytes:
    """Return a net of that one layer, with a field that the schema does not have."""
    return wire_format.encode_delimited(100, layer + wire_format.encode_delimited(number, payload))


def layer_bytes(**fields: Any) -> bytes:
    made = descriptors.new("LayerParameter")
    return type(made)(**fields).SerializeToString()


POOL = layer_bytes(name="p", type="Pooling", bottom=["x"], top=["y"])
FOREIGN = {
    "unknown field": (with_field(POOL, 5000, b"ab"), "layer 'p' .*field 5000"),
    "unknown field of a parameter": (
        with_field(POOL, 121, b"\x98\x06\x01"), "layer 'p' .*field 99 of pooling_param",
    ),
    "a field that forks use otherwise": (
        with_field(POOL, 121, b"\x10\x02\x68\x01"), "layer 'p' .*field 13 of pooling_param",
    ),
    "parameters of another type": (
        with_field(POOL, 117, b"\x08\x02"), "layer 'p' .*field 117",
    ),
    "a fork's field": (
        with_field(layer_bytes(name="p", type="BatchNorm", bottom=["x"], top=["y"]), 139,
                   b"\x38\x01"), "layer 'p' .*BatchNorm",
    ),
    "a fork's type": (
        v2({"name": "d", "type": "Permute", "bottom": ["x"], "top": ["y"]}), "'d' .*Permute",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "reason"), FOREIGN.values(), ids=FOREIGN)
def test_other_caffes_numbers_are_not_guessed(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "fork.caffemodel"
    path.write_bytes(content)
    reason = f"give the prototxt.*{reason}"
    with pytest.raises(CaffeFormatError, match=f"(?s){reason}"):
        caffe2fx.load(path)


def test_files_without_parameters_are_no_nets(tmp_path: Path) -> None:
    _, model = files(tmp_path)
    with pytest.raises(CaffeError, match="give the prototxt"):
        caffe2fx.load(model)
    path = tmp_path / "net.caffemodel.h5"
    with h5py.File(path, "w") as file:
        file.create_group("data")
    with pytest.raises(CaffeFormatError, match="needs a prototxt beside it: HDF5"):
        caffe2fx.load(path)


def test_an_unknown_type_inside_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(v2({"name": "q", "type": "Xyzzy", "bottom": ["x"], "top": ["y"]}))
    with pytest.raises((UnknownLayerError, CaffeFormatError), match=r"'q'.*Xyzzy"):
        caffe2fx.load(path)


# Weights of as many elements in another shape

DENSE = """layer { name: "in" type: "Input" top: "x" input_param { shape { dim: [2, 3, 4, 5] } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y"
        inner_product_param { num_output: 6 } }
layer { name: "same" type: "Scale" bottom: "y" top: "z" }"""
SLIDING = DENSE.replace("InnerProduct", "Convolution").replace(
    "inner_product_param { num_output: 6 }",
    "convolution_param { num_output: 6 kernel_h: 4 kernel_w: 5 }",
)


def _dense_and_sliding(folder: Path) -> tuple[Path, Path, caffe2fx.CaffeGraphModule]:
    dense, sliding, model = folder / "d.prototxt", folder / "s.prototxt", folder / "d.caffemodel"
    dense.write_text(DENSE)
    sliding.write_text(SLIDING)
    made = caffe2fx.load(dense)
    with torch.no_grad():
        for blob in made.parameters():
            blob.normal_()
    caffe2fx.save_weights(made, model)
    return sliding, model, made


def test_a_fully_connected_layer_becomes_a_convolution(tmp_path: Path) -> None:
    sliding, model, dense = _dense_and_sliding(tmp_path)
    option = r"reshape_weights=True gives \['fc'\] the net's shapes"
    with pytest.raises(ShapeMismatchError, match=rf"6x3x4x5, 6, got 6x60, 6 .*{option}"):
        caffe2fx.load(sliding, model)
    loaded = caffe2fx.load(sliding, model, reshape_weights=True)
    x = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(loaded(x).flatten(1), dense(x))
    assert caffe2fx.load(sliding, model, strict=False).caffe.unmatched.shapes
    assert not caffe2fx.load(sliding, model, strict=False, reshape_weights=True).caffe.unmatched


def test_another_count_stays_refused(tmp_path: Path) -> None:
    sliding, model, _ = _dense_and_sliding(tmp_path)
    sliding.write_text(SLIDING.replace("num_output: 6", "num_output: 7"))
    with pytest.raises(ShapeMismatchError, match="7x3x4x5, 7, got 6x60, 6") as error:
        caffe2fx.load(sliding, model, reshape_weights=True)
    assert "reshape_weights" not in str(error.value)
