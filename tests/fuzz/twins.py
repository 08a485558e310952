"""What the bytes of a file hold, by another reader than ours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError
from torch import Tensor

from caffe2fx.files import descriptors
from caffe2fx.files.feature_dump import Dump
from caffe2fx.weights.caffemodel import LayerWeights

Array = npt.NDArray[Any]
NNIE_ONE = 1 << 12  # its hexadecimal values have 12 fractional bits


def _check(name: str, found: Any, wanted: Any) -> None:
    """Hold two arrays equal in float32, in which blobs are read, whatever their shapes."""
    with np.errstate(all="ignore"):
        one, other = (np.asarray(each).astype(np.float32).ravel() for each in (found, wanted))
    assert np.array_equal(one, other, equal_nan=True), f"{name} holds {other}, was read as {one}"


def _elements(blob: Any) -> Array:
    return np.array([*blob.double_data] or [*blob.data])


def caffemodel(path: Path, layers: Sequence[LayerWeights]) -> None:
    """Hold layers against protobuf's own parser, which reads messages that ours skips."""
    net: Any = descriptors.new("NetParameter")
    try:
        net.ParseFromString(path.read_bytes())
    except DecodeError:
        return
    stated = [*net.layers, *net.layer]
    assert [one.name for one in layers] == [one.name for one in stated]
    for one, other in zip(layers, stated, strict=True):
        for blob, theirs in zip(one.blobs, other.blobs, strict=True):
            _check(one.name, blob, _elements(theirs))


def binaryproto(path: Path, mean: Tensor) -> None:
    """Hold a mean against protobuf's own parser."""
    blob: Any = descriptors.new("BlobProto")
    try:
        blob.ParseFromString(path.read_bytes())
    except DecodeError:
        return
    sizes = [*blob.shape.dim] or [blob.num, blob.channels, blob.height, blob.width]
    assert [1, *mean.shape] == sizes
    _check("the mean", mean, _elements(blob))


def hdf5(path: Path, layers: Sequence[LayerWeights]) -> None:
    """Hold layers against all datasets below /data."""
    with h5py.File(path, "r") as file:
        for layer in layers:
            group = file["data"][layer.name]
            for index, blob in enumerate(layer.blobs):
                theirs = group[str(index)]
                assert tuple(blob.shape) == theirs.shape
                _check(layer.name, blob, theirs[()])
        all_ = list[h5py.Dataset]()
        try:
            file["data"].visititems(lambda _, x: all_.append(x) if hasattr(x, "dtype") else None)
        except RuntimeError:  # of what h5py reads on its way, and we do not
            return
        assert len(all_) == sum(len(layer.blobs) for layer in layers)


def safetensors(path: Path, dump: Dump) -> None:
    """Hold maps against the bytes at the stated offsets."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    head = json.loads(data[8:start])
    about = head.get("__metadata__", {}).get("manifest")
    stated = json.loads(about)["maps"] if about else [{"file": one.name} for one in dump.maps]
    kinds = {"F": "f", "I": "i", "U": "u"}
    types = {
        f"{word}{bits}": f"<{kinds[word]}{bits // 8}" for word in kinds for bits in (8, 16, 32, 64)
    }
    types |= {"BOOL": "?"}
    for one, entry in zip(dump.maps, stated, strict=True):
        about = head[entry["file"]]
        first, last = (start + offset for offset in about["data_offsets"])
        _check(one.name, one.value, np.frombuffer(data[first:last], types[about["dtype"]]))


def text(path: Path, dump: Dump) -> None:
    """Hold the one map against the words of the text."""
    (one,) = dump.maps
    _check(one.name, one.value, [float(word) for word in path.read_text().split()])


def hexadecimal(path: Path, dump: Dump) -> None:
    """Hold the one map against the lines of the text."""
    (one,) = dump.maps
    integers = [int(line, 16) for line in path.read_text().split()]
    signed = [value - (value >> 31 << 32) for value in integers]
    _check(one.name, one.value, np.array(signed) / NNIE_ONE)
