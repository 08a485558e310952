"""The bytes of a prototxt file: some are read as Caffe reads them, others are no text."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format

import caffe2fx
from caffe2fx.engines.pycaffe import Worker
from caffe2fx.errors import CaffeFormatError, EngineError
from caffe2fx.files import descriptors
from caffe2fx.files.plaintext import written


def test_control_characters_are_escaped_by_any_protobuf(monkeypatch: pytest.MonkeyPatch) -> None:
    net = descriptors.new("NetParameter")
    net.name = "a\x01\x7f1\té"  # type: ignore[attr-defined]
    text = 'name: "a\\001\\1771\\té"\n'
    assert written(net) == text
    raw = 'name: "a\x01\x7f1\\té"\n'  # as protobuf 4.22 has it
    monkeypatch.setattr(text_format, "MessageToString", lambda *_, **__: raw)
    assert written(net) == text


NET = b"""layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "r" type: "ReLU" bottom: "d" top: "r" }
"""


def line_of_relu(path: Path) -> int:
    return caffe2fx.load(path).caffe.net.steps[1].origin.line


READ = {
    "a comment in GBK": "# 数据层 输入\n".encode("gbk") + NET,
    "a comment in Latin-1": NET.replace(b"\n", b" # caf\xe9\n", 1),
    "a comment that ends inside a character": b"# \xe6\x95\n" + NET,
    "a comment in UTF-8": "# é 输\n".encode() + NET,
    "names in UTF-8": NET.replace(b'"r"', '"输"'.encode()),
    "a hash in a string": NET.replace(b'"d"', b'"#d"') + b"# \xff",
    "lines that end as in Windows": NET.replace(b"\n", b"\r\n"),
    "lines that end as in old Macs": NET.replace(b"\n", b"\r"),
}


@pytest.mark.parametrize("content", READ.values(), ids=READ)
def test_bytes_that_are_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.prototxt"
    path.write_bytes(content)
    assert line_of_relu(path) == 2 + content.startswith(b"#")


@pytest.mark.pycaffe
@pytest.mark.parametrize("content", READ.values(), ids=READ)
def test_real_caffe_reads_it_too(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.prototxt"
    path.write_bytes(content)
    with Worker() as worker:
        answer, _ = worker.ask("load", prototxt=str(path), weights="", phase="TEST")
    assert [layer["type"] for layer in answer["layers"]] == ["Input", "ReLU"]


REFUSED = {
    "a byte order mark": (b"\xef\xbb\xbf" + NET, r"a byte order mark \(BOM\).*without BOM"),
    "UTF-16": (NET.decode().encode("utf-16"), "got UTF-16: save it as UTF-8"),
    "a web page": (
        b"<!DOCTYPE html>\n<html><head></head></html>",
        "a file that looks like a web page",
    ),
    "a part of one": (b'\n\n<body class="x">', "a file that looks like a web page"),
    "a Git LFS pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        "git lfs pull",
    ),
    "a word in Latin-1": (NET.replace(b'"r" type', b'"r" caf\xe9'), "net.prototxt:2:.*byte 0xe9"),
    "a string in GBK": (NET.replace(b'"r"', '"层"'.encode("gbk")), "xt:2:16: .*byte 0xb2"),
}


@pytest.mark.parametrize(("content", "reason"), REFUSED.values(), ids=REFUSED)
def test_texts_that_are_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "net.prototxt"
    path.write_bytes(content)
    with pytest.raises(CaffeFormatError, match=reason) as error:
        caffe2fx.load(path)
    assert str(path) in str(error.value)


@pytest.mark.pycaffe
@pytest.mark.parametrize("case", sorted({*REFUSED} - {"a string in GBK"}))
def test_real_caffe_stops_on_it(tmp_path: Path, case: str) -> None:
    """A name in GBK it takes, and its Python interface does not."""
    path = tmp_path / "net.prototxt"
    path.write_bytes(REFUSED[case][0])
    with Worker() as worker, pytest.raises(EngineError, match="Failed to parse"):
        worker.ask("load", prototxt=str(path), weights="", phase="TEST")
