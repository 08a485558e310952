"""The reader on bytes made by hand: every wire form, every way to be broken."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
import torch
from google.protobuf.message import DecodeError

from caffe2fx.errors import CaffeFormatError
from caffe2fx.files import descriptors
from caffe2fx.weights.caffemodel import LayerWeights, read

resource = pytest.importorskip("resource")

SIX = [1.5, -2.0, 3.25, 0.0, 1e-30, 6.0]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.caffemodel"


def read_bytes(path: Path, data: bytes) -> tuple[LayerWeights, ...]:
    path.write_bytes(data)
    return read(path)[1]


def refusal(path: Path, data: bytes) -> str:
    with pytest.raises(CaffeFormatError) as caught:
        read_bytes(path, data)
    assert str(path) in str(caught.value)
    return str(caught.value)


def varint(value: int, size: int = 1) -> bytes:
    low = [value >> shift & 0x7F for shift in range(0, 70, 7)]
    while len(low) > size and low[-1] == 0:
        low.pop()
    return bytes([byte | 0x80 for byte in low[:-1]] + low[-1:])


def head(number: int, length: int) -> bytes:
    return varint(number << 3 | 2) + varint(length)


def message(number: int, *parts: bytes) -> bytes:
    payload = b"".join(parts)
    return head(number, len(payload)) + payload


def blob_of(*parts: bytes) -> bytes:
    return message(100, message(1, b"ip"), message(2, b"InnerProduct"), message(7, *parts))


PACKED_SHAPE = message(7, message(1, b"\x02\x03"))
FLOATS = struct.pack("<6f", *SIX)
LOOSE = b"".join(b"\x2d" + FLOATS[i : i + 4] for i in range(0, 24, 4))
UNKNOWN = (
    b"\xa0\x06\x01",  # varint
    b"\xa1\x06" + b"\xff" * 8,  # fixed64
    message(500, b"anything"),
    b"\xa3\x06\x2d\xff\xff\xff\xff\xab\x06\x08\x01\xac\x06\xa4\x06",  # a group in a group
    b"\xa5\x06" + b"\xff" * 4,  # fixed32
)


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param((PACKED_SHAPE, message(5, FLOATS[:8]), message(5, FLOATS[8:])), id="chunks"),
        pytest.param((PACKED_SHAPE, message(5), message(5, FLOATS), message(5)), id="empty chunks"),
        pytest.param((message(5, FLOATS), PACKED_SHAPE), id="shape last"),
        pytest.param((PACKED_SHAPE, LOOSE[:10], message(5, FLOATS[8:])), id="both packings"),
        pytest.param((LOOSE[:15], PACKED_SHAPE, LOOSE[15:]), id="run in two pieces"),
        pytest.param((PACKED_SHAPE, b"\xad\x00" + LOOSE[1:]), id="long tag"),
        pytest.param((message(7, b"\x08\x02"), message(7, b"\x08\x03"), LOOSE), id="shape merged"),
        pytest.param((b"\xba\x80\x00" + PACKED_SHAPE[1:], LOOSE), id="message's long tag"),
        pytest.param((*UNKNOWN, PACKED_SHAPE, *UNKNOWN, LOOSE, *UNKNOWN), id="unknown fields"),
    ],
)
def test_wire_forms_of_a_blob(path: Path, parts: tuple[bytes, ...]) -> None:
    (layer,) = read_bytes(path, blob_of(*parts))
    assert (layer.name, layer.type) == ("ip", "InnerProduct")
    assert torch.equal(layer.blobs[0], torch.tensor(SIX).reshape(2, 3))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "byte 0: expected weights, found no bytes"),
        (bytes(1000), "byte 0: expected a field number"),
        (b"\x30\x01", "byte 0: expected a net's name or a layer, found neither"),
        (b"\x0f", "byte 0: expected a wire type .* found 7"),
        (b"\x30" + b"\xff" * 11, "byte 1: expected a varint of at most 10 bytes"),
        (b"\x30\xff", "byte 1: expected a varint that ends before byte 2"),
        (b"\x0a\x05abc", "byte 2: expected 5 bytes of field 1, found 3 before the end at byte 5"),
        (b"\x0a\xff\xff\xff\xff\x0fabc", "byte 6: expected 4294967295 bytes"),
        (b"\x31\x00", "expected 8 bytes of field 6, found 1"),
        (b"\x35\x00", "expected 4 bytes of field 6, found 1"),
        (b"\x33\x3c", "byte 1: expected the end of group 6, found that of 7"),
        (b"\x33" * 5000, "byte 5000: expected a varint"),
        (message(1, b"ab\xff"), r"byte 4: expected UTF-8 text in field 1 \(name\), found b'ab"),
        (message(100, message(1, b"\xff")), r"byte 5: expected UTF-8 text in field 1 \(name\)"),
        (message(1, b"n") + b"\xa0\x06\x01", r"field 100 \(layer\) to have wire type 2, found 0"),
        (message(100) + message(2), "either `layer` or `layers`, found both"),
        (blob_of(PACKED_SHAPE, message(5, FLOATS[:-1])), r"multiple of 4 bytes in field 5 \(data"),
        (blob_of(message(7, message(1, b"\x82")), message(5, FLOATS)), "varint that ends before"),
        (blob_of(b"\x28\x01"), r"field 5 \(data\) to have wire type 2 or 5, found 0"),
    ],
)
def test_broken_files_name_the_byte(path: Path, data: bytes, message: str) -> None:
    path.write_bytes(data)
    with pytest.raises(CaffeFormatError, match=message):
        read(path)


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "name it .caffemodel.h5"),
        (b'name: "LeNet"\nlayer {\n  name: "conv1"\n}\n' * 20, "a prototxt holds no weights"),
        (b"# a comment\ninput: 'data'\n", "a prototxt holds no weights"),
        (b"\x08\xd0\x0f\x12\x0bx.caffemode", "a .solverstate"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"PK\x03\x04\x00\x00", "torch.save"),
    ],
)
def test_files_of_another_kind_get_a_hint(path: Path, data: bytes, hint: str) -> None:
    assert hint in refusal(path, data)


def test_a_damaged_caffemodel_gets_no_hint(path: Path) -> None:
    assert "looks like" not in refusal(path, blob_of(PACKED_SHAPE, message(5, FLOATS))[:-1])


@contextmanager
def little_memory(size: int) -> Iterator[None]:
    """Limit the process to `size` bytes of address space more than it has."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (taken + size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")


@needs_proc
def test_a_large_blob_is_mapped_and_not_copied(path: Path) -> None:
    size = 2**30
    opening = message(7, message(1, varint(size // 4))) + head(5, size)
    opening = head(7, len(opening) + size) + opening
    opening = head(100, len(opening) + size) + opening
    path.write_bytes(opening)
    os.truncate(path, len(opening) + size)
    with little_memory(size + 2**26):
        blob = read(path)[1][0].blobs[0]
        assert blob.shape == (size // 4,)
        assert blob[-1] == 0


@needs_proc
@pytest.mark.parametrize(
    "data",
    [
        message(100, head(7, 2**33)),
        message(100, message(7, head(7, 2**33))),
        message(100, message(7, message(7, head(1, 2**40)))),
        message(100, message(7, message(7, head(1, 2**31) + b"\x01" * 9))),
        message(100, message(7, PACKED_SHAPE, head(5, 2**33))),
        message(100, message(7, message(7, message(1, varint(2**31 - 1))))),
        message(100, message(7, message(7, message(1, varint(2**31 - 1))), message(5, FLOATS))),
        message(100, message(7, message(7, message(1, varint(2**62) * 3 + b"\0")))),
    ],
)
def test_an_absurd_size_takes_no_memory(path: Path, data: bytes) -> None:
    with little_memory(2**26):
        refusal(path, data)


def in_float32(numbers: list[float]) -> list[float]:
    return torch.tensor(numbers, dtype=torch.float64).float().tolist()


def as_protobuf_reads(data: bytes) -> list[tuple[str, list[list[float]]]]:
    """The layers of a weights file with the elements of their blobs, by protobuf's own parser."""
    net: Any = descriptors.new("NetParameter")
    net.ParseFromString(data)
    return [
        (layer.name, [in_float32([*blob.double_data] or [*blob.data]) for blob in layer.blobs])
        for layer in (*net.layers, *net.layer)
    ]


def read_or_refuse(path: Path, data: bytes) -> bool:
    """Fail where bytes are read, and as something else than protobuf reads.

    The result is false where protobuf alone refuses them, by a message that the reader skips.
    """
    path.write_bytes(data)
    try:
        _, layers = read(path)
    except CaffeFormatError:
        return True
    try:
        wanted = as_protobuf_reads(data)
    except DecodeError:
        return False
    found = [(layer.name, [blob.flatten().tolist() for blob in layer.blobs]) for layer in layers]
    assert repr(found) == repr(wanted)  # where NaN equals NaN
    return True


@hypothesis.given(data=st.binary(max_size=200))
@hypothesis.settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_random_bytes_are_refused_or_read(path: Path, data: bytes) -> None:
    read_or_refuse(path, data)


def test_changed_bytes_are_refused_or_read(path: Path) -> None:
    """Every byte of a file with all forms of blobs, changed to bytes that mean something."""
    base = blob_of(PACKED_SHAPE, LOOSE) + blob_of(*UNKNOWN, PACKED_SHAPE, message(5, FLOATS))
    legacy = b"\x08\x01\x10\x01\x18\x01\x20\x03"
    base += blob_of(legacy, message(8, struct.pack("<3d", 1, 2, 3)))
    base += message(100, message(3, b"x"), message(4, b"y"))
    for at in range(len(base)):
        for byte in (0x00, 0x01, 0x2D, 0x3A, 0x7F, 0x80, 0xFF):
            assert read_or_refuse(path, base[:at] + bytes([byte]) + base[at + 1 :])
