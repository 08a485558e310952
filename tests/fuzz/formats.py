"""Formats of files that come from elsewhere: valid examples of each, and their reader."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import caffe2fx
import fx2caffe
from caffe2fx.engines.install import download
from caffe2fx.errors import CaffeError
from caffe2fx.files import prototxt
from caffe2fx.files.feature_dump import FeatureMap, write_dump
from caffe2fx.module.loader import read_net, read_weights
from caffe2fx.weights import wire_format
from fx2caffe.zoo import result
from tests.fuzz import twins

LIMIT = 1 << 24  # bytes that a load may take for blobs, as a caller states it
MAPS = [
    FeatureMap("conv", np.ones((1, 2, 3, 3), np.float32), "conv", "conv", is_exact=True),
    FeatureMap("a/b", np.arange(4, dtype=np.float64), "a/b", "a/b", is_exact=True),
]


@dataclass(frozen=True)
class Format:
    """A kind of file: its ending, its valid examples, its reader, and words that it is made of.

    `twin` fails where what was read is not what the bytes hold.
    """

    ending: str
    examples: Callable[[Path], list[bytes]]
    read: Callable[[Path], Any]
    words: tuple[bytes, ...] = ()
    twin: Callable[[Path, Any], None] | None = None


def _net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.PReLU(4), nn.MaxPool2d(2)).eval()


def _exported(folder: Path, ending: str) -> bytes:
    weights = "net.h5" if ending == ".h5" else "net.caffemodel"
    net = fx2caffe.export(_net(), torch.zeros(1, 3, 8, 8))
    net.save(folder / "net.prototxt", folder / weights)
    return (folder / (weights if ending != ".prototxt" else "net.prototxt")).read_bytes()


_TEXTS = (
    b"""name: "a" input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" blobs_lr: 1 blobs_lr: 2
  convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } } }
layers { name: "r" type: RELU bottom: "c" top: "c" }
""",
    b"""layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 2 dim: 6 dim: 5 } } }
layer { name: "s" type: "Slice" bottom: "d" top: "x" top: "y" slice_param { slice_point: 2 } }
layer { name: "l" type: "InnerProduct" bottom: "y" top: "l" param { name: "w" lr_mult: 0 }
  inner_product_param { num_output: 3 axis: -1 bias_term: false } include { phase: TEST } }
layer { name: "p" type: "Permute" bottom: "d" top: "p" permute_param { order: 0 order: 2 } }
""",
)


def _blob(shape: tuple[int, ...]) -> bytes:
    dims = b"".join(
        wire_format.encode_tag(n, 0) + wire_format.encode_varint(size)
        for n, size in enumerate(shape, 1)
    )
    values = np.ones(int(np.prod(shape)), "<f4").tobytes()
    return dims + wire_format.encode_delimited(5, values)


def _dumped(folder: Path, name: str) -> bytes:
    write_dump(folder / name, {"data": torch.zeros(1, 3)}, MAPS, ("conv",))
    return (folder / name).read_bytes()


def _array() -> bytes:
    np.save(file := io.BytesIO(), np.arange(6, dtype=np.float32).reshape(2, 3))
    return file.getvalue()


def _manifest(folder: Path) -> bytes:
    write_dump(folder / "dump", {"data": torch.zeros(1, 3)}, MAPS, ("conv",))
    return (folder / "dump" / "manifest.json").read_bytes()


def _read_manifest(path: Path) -> Any:
    folder = path.parent / "dump"
    (folder / "manifest.json").write_bytes(path.read_bytes())
    return caffe2fx.read_dump(folder)


def _read_weights(path: Path) -> Any:
    found = read_weights(path, max_bytes=LIMIT)
    with suppress(CaffeError):  # layers of another net
        read_net(path.parent / "net.prototxt", path, strict=False, max_bytes=LIMIT)
    return found


def _read_text(path: Path) -> Any:
    prototxt.read(path)
    return read_net(path, None, max_bytes=LIMIT)


def _names(folder: Path) -> None:
    np.savez(folder / "chip.npz", a=np.zeros((2, 3), np.int8), b=np.zeros(4, np.float32))


def _examples_of_names(text: bytes) -> Callable[[Path], list[bytes]]:
    def make(folder: Path) -> list[bytes]:
        _names(folder)
        return [text]

    return make


def _read_names(path: Path) -> Any:
    return caffe2fx.read_dump(path.parent / "chip.npz", names=path)


_ROW = result.Row(result.Job("torchvision:alexnet"), "equal", ("a",), ((1, 3, 8, 8),))

FORMATS: Mapping[str, Format] = {
    "prototxt": Format(
        ".prototxt",
        lambda folder: [_exported(folder, ".prototxt"), *_TEXTS],
        _read_text,
        (
            *(b"layer {", b"}", b"{", b"dim: 0", b"dim: -1", b"dim: 1000000000", b"num_output: 0"),
            *(b"pad: 4000000000", b"kernel_size: 0", b"stride: 0", b"axis: 9", b"group: 0"),
            *(b"include { stage: 'x' }", b"top: 'c'", b"bottom: 'c'", b"nan", b"-inf", b"1e999"),
            *(b"type: 'Reshape'", b"type: 'Im2col'", b"reshape_param { shape { dim: -1 } }", b"\\"),
            *(b"type: 'Concat'", b"type: 'Crop'", b"type: 'Tile' tile_param { tiles: 99999999 }"),
        ),
    ),
    "caffemodel": Format(
        ".caffemodel", lambda f: [_exported(f, ".caffemodel")], _read_weights, twin=twins.caffemodel
    ),
    "h5": Format(".h5", lambda folder: [_exported(folder, ".h5")], _read_weights, twin=twins.hdf5),
    "binaryproto": Format(
        ".binaryproto",
        lambda _: [_blob((1, 3, 4, 4)), _blob((1, 1, 1, 2))],
        caffe2fx.read_mean,
        twin=twins.binaryproto,
    ),
    "npy": Format(".npy", lambda _: [_array()], caffe2fx.read_dump, (b"<f8", b"(1, 2)", b"|O")),
    "npz": Format(".npz", lambda folder: [_dumped(folder, "a.npz")], caffe2fx.read_dump),
    "safetensors": Format(
        ".safetensors",
        lambda folder: [_dumped(folder, "a.safetensors")],
        caffe2fx.read_dump,
        twin=twins.safetensors,
    ),
    "hex": Format(
        ".hex",
        lambda _: [b"00001000\nFFFFF000\n"],
        caffe2fx.read_dump,
        (b"G", b"-"),
        twins.hexadecimal,
    ),
    "txt": Format(
        ".txt", lambda _: [b"1.5\n-2e3\n0\n"], caffe2fx.read_dump, (b"nan", b"1_0"), twins.text
    ),
    "manifest": Format(
        ".json",
        lambda folder: [_manifest(folder)],
        _read_manifest,
        (b"null", b"[]", b"{}", b"1e999", b'"../../x"', b"[" * 3000, b"-1", b'"maps"'),
    ),
    "names.json": Format(
        ".json",
        _examples_of_names(b'{"a": {"blob": "x", "scale": 0.5, "layout": "NHWC"}, "b": "y"}'),
        _read_names,
        (b"null", b"[]", b"1e999", b"[" * 3000, b'"scale"', b"-1"),
    ),
    "names.tsv": Format(
        ".tsv",
        _examples_of_names(b"name\tblob\tscale\tzero_point\tlayout\na\tx\t0.5\t3\tNHWC\nb\ty\n"),
        _read_names,
        (b"\t", b"\n", b'"', b"nan", b"\0"),
    ),
    "lock": Format(
        ".tsv",
        lambda _: ["\n".join(download.lock_text().splitlines()[:4]).encode()],
        lambda path: download.read_lock(path.read_text(errors="replace"), "amd64"),
        (b"\t", b"\n", b"amd64", b"-1"),
    ),
    "zoo": Format(
        ".json",
        lambda _: [json.dumps(_ROW.as_json()).encode()],
        result.read,
        (b"null", b"[]", b"{}", b"[" * 3000, b"1e999"),
    ),
}
