"""Weights files against protobuf itself: each reads the files of the other."""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from caffe2fx.errors import CaffeFormatError
from caffe2fx.weights import caffemodel
from caffe2fx.weights.caffemodel import LayerWeights, read, write

# message: name, number, kind; a capital letter starts a message's name, "*" means repeated and
# "+" repeated and packed.
SCHEMA = {
    "Shape": "dim 1 int64+",
    "LooseShape": "dim 1 int64*",
    "Blob": "num 1 int32, channels 2 int32, height 3 int32, width 4 int32, data 5 float+,"
    "diff 6 float+, shape 7 Shape, double_data 8 double+, raw_data_type 10 int32,"
    "raw_data 12 bytes",
    "LooseBlob": "data 5 float*, diff 6 float*, shape 7 LooseShape, double_data 8 double*",
    "Layer": "name 1 string, type 2 string, bottom 3 string*, top 4 string*, blobs 7 Blob*",
    "V0Layer": "name 1 string, type 2 string, num_output 3 int32, blobs 50 Blob*",
    "V1Layer": "layer 1 V0Layer, bottom 2 string*, top 3 string*, name 4 string, type 5 int32,"
    "blobs 6 Blob*",
    "LooseLayer": "name 1 string, type 2 string, blobs 7 LooseBlob*",
    "Net": "name 1 string, layers 2 V1Layer*, force_backward 5 bool, layer 100 Layer*",
    "LooseNet": "name 1 string, layer 100 LooseLayer*",
}


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="weights.proto", package="t", syntax="proto2")
    kinds = descriptor_pb2.FieldDescriptorProto
    for message, fields in SCHEMA.items():
        declared = file.message_type.add(name=message)
        for text in fields.split(","):
            name, number, kind = text.split()
            bare = kind.rstrip("*+")
            label = kinds.LABEL_OPTIONAL if bare == kind else kinds.LABEL_REPEATED
            field = declared.field.add(name=name, number=int(number), label=label)
            if bare[0].isupper():
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".t.{bare}"
            else:
                field.type = getattr(kinds, f"TYPE_{bare.upper()}")
            field.options.packed = kind.endswith("+")
            if not kind.endswith("+"):
                field.ClearField("options")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    find = pool.FindMessageTypeByName
    return {name: message_factory.GetMessageClass(find(f"t.{name}")) for name in SCHEMA}


MESSAGES = _messages()


def net(**fields: object) -> bytes:
    return bytes(MESSAGES["Net"](**fields).SerializeToString())


def one_blob(**blob: object) -> bytes:
    return net(name="n", layer=[{"name": "ip", "type": "InnerProduct", "blobs": [blob]}])


def loose_blob(**blob: object) -> bytes:
    layer = {"name": "ip", "type": "InnerProduct", "blobs": [blob]}
    return bytes(MESSAGES["LooseNet"](name="n", layer=[layer]).SerializeToString())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.caffemodel"


def read_bytes(path: Path, data: bytes) -> tuple[str, tuple[LayerWeights, ...]]:
    path.write_bytes(data)
    return read(path)


def refusal(path: Path, data: bytes) -> str:
    with pytest.raises(CaffeFormatError) as caught:
        read_bytes(path, data)
    assert str(path) in str(caught.value)
    return str(caught.value)


def assert_same(found: tuple[LayerWeights, ...], expected: tuple[LayerWeights, ...]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert (one.name, one.type) == (other.name, other.type)
        assert (one.bottoms, one.tops) == (other.bottoms, other.tops)
        for blob, wanted in zip(one.blobs, other.blobs, strict=True):
            assert blob.dtype == torch.float32
            assert blob.shape == wanted.shape
            assert torch.equal(blob, wanted.float())


def count_up(*shape: int) -> torch.Tensor:
    size = int(np.prod(shape, dtype=np.int64))
    return torch.arange(size, dtype=torch.float32).reshape(shape) + 0.5


LAYERS = (
    LayerWeights("data", "Input", (), (), ("data",)),
    LayerWeights("conv/1x1", "Convolution", (count_up(3, 2, 1, 1), count_up(3)), ("data",), ("c",)),
    LayerWeights("bn", "BatchNorm", (count_up(3), -count_up(3), count_up(1)), ("c",), ("c",)),
    LayerWeights("größe", "PReLU", (torch.tensor(0.25),), ("c",), ("c",)),
    LayerWeights("empty", "Parameter", (torch.empty(0, 3),)),
    LayerWeights("big", "InnerProduct", (count_up(130, 70),), ("c",), ("x", "y")),
)


# Our files


def test_protobuf_reads_our_files(path: Path) -> None:
    write(path, "a net", LAYERS)
    parsed = MESSAGES["Net"].FromString(path.read_bytes())
    found = tuple(
        LayerWeights(
            layer.name,
            layer.type,
            tuple(torch.tensor(list(b.data)).reshape(tuple(b.shape.dim)) for b in layer.blobs),
            tuple(layer.bottom),
            tuple(layer.top),
        )
        for layer in parsed.layer
    )
    assert parsed.name == "a net"
    assert_same(found, LAYERS)
    assert all(blob.HasField("shape") for layer in parsed.layer for blob in layer.blobs)


def test_we_read_our_own_files(path: Path) -> None:
    write(path, "a net", LAYERS)
    name, found = read(path)
    assert name == "a net"
    assert_same(found, LAYERS)


def test_a_net_without_a_name_or_a_layer_is_read(path: Path) -> None:
    write(path, "", ())
    assert read(path) == ("", ())


@pytest.mark.parametrize(
    "blob",
    [
        pytest.param(count_up(2, 3).double(), id="float64"),
        pytest.param(count_up(2, 3).half(), id="float16"),
        pytest.param(count_up(2, 3).long(), id="int64"),
        pytest.param(count_up(3, 2).t(), id="transposed"),
        pytest.param(count_up(4, 6)[::2, 1::2], id="strided"),
        pytest.param(torch.tensor(2.5).expand(2, 3), id="expanded"),
        pytest.param(torch.nn.Parameter(count_up(2, 3)), id="parameter"),
    ],
)
def test_any_tensor_is_written_as_float32(path: Path, blob: torch.Tensor) -> None:
    layer = LayerWeights("ip", "InnerProduct", (blob,))
    write(path, "n", [layer])
    assert_same(read(path)[1], (LayerWeights("ip", "InnerProduct", (blob.detach(),)),))


@pytest.mark.parametrize("length", range(70))
def test_blobs_start_at_multiples_of_64_bytes(path: Path, length: int) -> None:
    layers = [LayerWeights("x" * length, "T", (count_up(3), count_up(2, 2), torch.tensor(1.0)))] * 2
    write(path, "n", layers)
    _, found = read(path)
    assert {blob.data_ptr() % 64 for layer in found for blob in layer.blobs} == {0}
    assert_same(found, tuple(layers))


def test_too_large_a_file_is_refused_before_it_is_touched(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path, "n", LAYERS)
    size = path.stat().st_size
    monkeypatch.setattr(caffemodel, "SIZE_LIMIT", size)
    write(path, "n", LAYERS)
    path.write_bytes(b"before")
    monkeypatch.setattr(caffemodel, "SIZE_LIMIT", size - 1)
    with pytest.raises(CaffeFormatError, match=rf"{size} bytes.*\.caffemodel\.h5"):
        write(path, "n", LAYERS)
    assert path.read_bytes() == b"before"


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (torch.zeros(2, dtype=torch.complex64), "real values"),
        (torch.empty(2, device="meta"), "real values in memory"),
        (torch.zeros([1] * 33), "at most 32 axes, got 33"),
    ],
)
def test_blobs_that_caffe_cannot_hold(path: Path, blob: torch.Tensor, message: str) -> None:
    with pytest.raises(CaffeFormatError, match=f"layer 'ip', blob 1 .*{message}"):
        write(path, "n", [LayerWeights("ip", "InnerProduct", (count_up(1), blob))])
    assert not path.exists()


# Files of others

SIX = [1.5, -2.0, 3.25, 0.0, 1e-30, 6.0]
SHAPE = {"dim": [2, 3]}


@pytest.mark.parametrize(
    ("data", "shape"),
    [
        pytest.param(one_blob(shape=SHAPE, data=SIX), (2, 3), id="packed"),
        pytest.param(loose_blob(shape=SHAPE, data=SIX), (2, 3), id="unpacked"),
        pytest.param(loose_blob(shape=SHAPE, data=SIX, diff=SIX), (2, 3), id="unpacked diff"),
        pytest.param(one_blob(shape=SHAPE, data=SIX, diff=SIX), (2, 3), id="packed diff"),
        pytest.param(one_blob(shape=SHAPE, double_data=SIX), (2, 3), id="double"),
        pytest.param(loose_blob(shape=SHAPE, double_data=SIX), (2, 3), id="unpacked double"),
        pytest.param(
            one_blob(shape=SHAPE, double_data=SIX, data=[9.0] * 5), (2, 3), id="double goes first"
        ),
        pytest.param(
            one_blob(num=1, channels=1, height=2, width=3, data=SIX), (1, 1, 2, 3), id="legacy"
        ),
        pytest.param(
            one_blob(num=1, channels=1, height=2, width=3, shape={"dim": [6]}, data=SIX),
            (1, 1, 2, 3),
            id="legacy goes first",
        ),
        pytest.param(
            one_blob(shape=SHAPE, raw_data_type=0, raw_data=struct.pack("<6d", *SIX)),
            (2, 3),
            id="raw double",
        ),
        pytest.param(
            one_blob(shape=SHAPE, raw_data_type=1, raw_data=struct.pack("<6f", *SIX)),
            (2, 3),
            id="raw float",
        ),
    ],
)
def test_forms_of_a_blob(path: Path, data: bytes, shape: tuple[int, ...]) -> None:
    name, layers = read_bytes(path, data)
    expected = torch.tensor(SIX).reshape(shape)
    assert name == "n"
    assert_same(layers, (LayerWeights("ip", "InnerProduct", (expected,)),))


def test_raw_float16(path: Path) -> None:
    data = one_blob(shape=SHAPE, raw_data_type=2, raw_data=struct.pack("<6e", *range(6)))
    expected = torch.arange(6.0).reshape(2, 3)
    assert_same(read_bytes(path, data)[1], (LayerWeights("ip", "InnerProduct", (expected,)),))


@pytest.mark.parametrize("count", [1, 255, 256, 257, 258, 768, 769, 5000])
@pytest.mark.parametrize("behind", [b"", b"\x18\x01"])
def test_runs_of_single_floats(path: Path, count: int, behind: bytes) -> None:
    values = np.arange(count, dtype=np.float32)
    data = loose_blob(shape={"dim": [count]}, data=values.tolist()) + behind
    (layer,) = read_bytes(path, data)[1]
    assert torch.equal(layer.blobs[0], torch.from_numpy(values))


def test_v1_layers(path: Path) -> None:
    blob = {"num": 1, "channels": 1, "height": 2, "width": 3, "data": SIX}
    layers = [
        {"name": "fc", "type": 14, "bottom": ["a", "b"], "top": ["c"], "blobs": [blob]},
        {"name": "loss", "type": 21},
        {"name": "fork's own", "type": 4000},
        {"name": "none"},
    ]
    _, found = read_bytes(path, net(name="n", layers=layers))
    expected = torch.tensor(SIX).reshape(1, 1, 2, 3)
    assert_same(
        found,
        (
            LayerWeights("fc", "InnerProduct", (expected,), ("a", "b"), ("c",)),
            LayerWeights("loss", "SoftmaxWithLoss", ()),
            LayerWeights("fork's own", "", ()),
            LayerWeights("none", "", ()),
        ),
    )


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0, ""),
        (1, "Accuracy"),
        (4, "Convolution"),
        (9, "HDF5Data"),
        (11, "Im2col"),
        (18, "ReLU"),
        (23, "TanH"),
        (30, "ArgMax"),
        (34, "MVN"),
        (35, "AbsVal"),
        (39, "Deconvolution"),
    ],
)
def test_v1_type_numbers(path: Path, number: int, name: str) -> None:
    assert read_bytes(path, net(layers=[{"name": "x", "type": number}]))[1][0].type == name


def test_v0_layers(path: Path) -> None:
    blob = {"num": 1, "channels": 1, "height": 2, "width": 3, "data": SIX}
    inner = {"name": "fc", "type": "innerproduct", "num_output": 2, "blobs": [blob]}
    data = net(layers=[{"layer": inner, "bottom": ["a"], "top": ["b"]}])
    expected = torch.tensor(SIX).reshape(1, 1, 2, 3)
    layer = LayerWeights("fc", "innerproduct", (expected,), ("a",), ("b",))
    assert_same(read_bytes(path, data)[1], (layer,))


# Memory


def test_blobs_lie_in_the_file_and_writing_to_one_does_not_change_it(path: Path) -> None:
    write(path, "n", LAYERS)
    before = path.read_bytes()
    blob = read(path)[1][5].blobs[0]
    blob.fill_(7.0)
    assert path.read_bytes() == before
    again = read(path)[1][5].blobs[0]
    assert torch.equal(again, count_up(130, 70))
    assert again.untyped_storage().nbytes() == again.nbytes
    assert again.data_ptr() % mmap.PAGESIZE == before.index(again.numpy().tobytes()) % mmap.PAGESIZE


def test_blobs_outlive_a_replaced_file(path: Path) -> None:
    write(path, "n", LAYERS)
    blob = read(path)[1][5].blobs[0]
    path.unlink()
    write(path, "other", LAYERS[:1])
    assert torch.equal(blob, count_up(130, 70))


# Refusals


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        ({"shape": SHAPE, "data": SIX[:5]}, r"6 values for layer 'ip', blob 0 .*\(2, 3\), found 5"),
        ({"shape": SHAPE, "data": [*SIX, 1.0]}, "found 7"),
        ({"shape": SHAPE, "diff": SIX}, "6 values .* found 0"),
        ({"data": SIX}, r"1 values .* shape \(\), found 6"),
        ({"shape": {"dim": [-2, -3]}, "data": SIX}, r"found shape \(-2, -3\)"),
        ({"shape": {"dim": [2**31]}}, "at most 2147483647 values"),
        ({"shape": {"dim": [2**40, 2**40, 0]}}, "at most 2147483647 values"),
        ({"shape": {"dim": [1] * 33}, "data": [1.0]}, "at most 32 axes"),
        ({"num": 1, "channels": 2, "data": SIX}, r"0 values .*\(1, 2, 0, 0\), found 6"),
        ({"num": -1, "channels": 1, "height": 1, "width": 1}, r"\(-1, 1, 1, 1\)"),
        ({"shape": SHAPE, "raw_data_type": 3, "raw_data": bytes(24)}, "type 0 .* found 3"),
        ({"shape": SHAPE, "raw_data_type": 1, "raw_data": bytes(23)}, "multiple of 4 .* 23"),
        ({"shape": SHAPE, "raw_data": bytes(24)}, "found 3"),
    ],
)
def test_blobs_that_do_not_add_up(path: Path, blob: dict[str, object], message: str) -> None:
    path.write_bytes(one_blob(**blob))
    with pytest.raises(CaffeFormatError, match=message):
        read(path)


def test_a_missing_file_is_the_systems_own_error(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"net\.caffemodel"):
        read(path)


def test_a_file_cut_at_any_byte_is_refused(path: Path) -> None:
    """Only a cut between two layers leaves a valid file: protobuf does not count them."""
    layers = LAYERS[:5]
    ends = []
    for count in range(len(layers) + 1):
        write(path, "n", layers[:count])
        ends.append(path.stat().st_size)
    data = path.read_bytes()
    for length in reversed(range(1, len(data))):
        os.truncate(path, length)
        if length in ends:
            assert_same(read(path)[1], layers[: ends.index(length)])
        else:
            with pytest.raises(CaffeFormatError):
                read(path)
