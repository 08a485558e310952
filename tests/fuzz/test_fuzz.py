"""Changed files end in errors of ours, in bounded time; and so do all inputs that once did not."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from caffe2fx.files.feature_dump import Dump
from tests.fuzz import runs
from tests.fuzz.formats import FORMATS
from tests.fuzz.mutations import mutated
from tests.fuzz.runs import fault, kind_of, search


def _saved(save: Callable[..., object], *arrays: object) -> bytes:
    save(file := io.BytesIO(), *arrays)
    return file.getvalue()


NPY, NPZ = _saved(np.save, np.ones(3, np.float32)), _saved(np.savez, np.ones(3, np.float32))
HEAD = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
SAFETENSORS = struct.pack("<Q", len(HEAD)) + HEAD + bytes(8)

# Findings: each of these ended in an error that was not ours, or was read as something else.
FOUND: dict[str, tuple[str, bytes]] = {
    "more than 64 bits": ("hex", b"FFFFFFFFFFFFFFFF"),
    "a manifest in another encoding": ("manifest", b"\xfd"),
    "names in another encoding": ("names.json", b"\x80"),
    "a table in another encoding": ("names.tsv", b"\x80"),
    "names in too many brackets": ("names.json", b"[" * 9000),
    "a manifest in too many brackets": ("manifest", b"[" * 9000),
    "a table without a name": ("names.tsv", b"\tx"),
    "a table with a byte 0": ("names.tsv", b"a\0\tx"),
    "a lock without cells": ("lock", b"\namd64"),
    "a lock without a size": ("lock", b"\namd64\t\t\t\t\t"),
    "a zoo in too many brackets": ("zoo", b"[" * 9000),
    "a zoo in another encoding": ("zoo", b"\x80"),
    "no archive": ("npz", b"PK\x03\x04"),
    "a sign before hexadecimal digits": ("hex", b"-1"),
    "a slice of nothing": ("prototxt", b'layer { name: "s" type: "Slice" top: "y" }'),
    "an array that is named an archive": ("npz", NPY),
    "an archive that is named an array": ("npy", NPZ),
    "the head of an archive that is named an array": ("npy", b"PK\x03\x04"),
    "tensors without a manifest": ("safetensors", SAFETENSORS),
    "a decimal that Python alone writes": ("txt", b"1_0"),
}


@pytest.mark.parametrize("name", FOUND)
def test_found(name: str, tmp_path: Path) -> None:
    format, data = FORMATS[FOUND[name][0]], FOUND[name][1]
    format.examples(tmp_path)
    assert fault(format, tmp_path / f"input{format.ending}", data) is None


@pytest.mark.parametrize("byte", [0, 6, 8, 10])  # version, flags, compression, time of the archive
@pytest.mark.parametrize("signature", [b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"])
def test_archives_with_a_wrong_head(signature: bytes, byte: int, tmp_path: Path) -> None:
    format = FORMATS["npz"]
    (data,) = format.examples(tmp_path)
    place = data.index(signature) + byte
    changed = data[:place] + b"\x63\x63" + data[place + 2 :]
    assert fault(format, tmp_path / "input.npz", changed) is None


@pytest.mark.parametrize("name", FORMATS)
def test_examples_and_some_changes(name: str, tmp_path: Path) -> None:
    format = FORMATS[name]
    examples = format.examples(tmp_path)
    path = tmp_path / f"input{format.ending}"
    for data in examples:
        path.write_bytes(data)
        format.read(path)  # raises nothing
    r = random.Random(len(name))
    faults = [fault(format, path, mutated(r, examples, format.words)) for _ in range(15)]
    assert faults == [None] * 15


def _spoiled(found: Any) -> Any:
    """Return what was read with every element larger by 1."""
    if isinstance(found, Dump):
        return replace(found, maps=tuple(replace(m, value=m.value + 1) for m in found.maps))
    if isinstance(found, torch.Tensor):
        return found + 1
    return tuple(replace(layer, blobs=tuple(b + 1 for b in layer.blobs)) for layer in found)


@pytest.mark.parametrize("name", [name for name, format in FORMATS.items() if format.twin])
def test_other_elements_than_the_bytes_hold_are_seen(name: str, tmp_path: Path) -> None:
    format = FORMATS[name]
    data, path = format.examples(tmp_path)[0], tmp_path / f"input{format.ending}"
    assert fault(format, path, data) is None
    text = fault(replace(format, read=lambda path: _spoiled(format.read(path))), path, data)
    assert text is not None and "was read as" in text


def test_what_takes_too_long_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    format = FORMATS["lock"]
    path, (data,) = tmp_path / "input.tsv", format.examples(tmp_path)
    monkeypatch.setattr(runs, "SECONDS_PER_MEGABYTE", 0.0)
    assert kind_of(fault(format, path, data) or "") == "time"
    monkeypatch.setattr(runs, "_processor_time", lambda *_: 0.0)  # others had the processor
    assert fault(format, path, data) is None


def test_the_search_finds_and_shrinks(tmp_path: Path) -> None:
    def read(path: Path) -> None:
        if b"\xff" in path.read_bytes():
            raise KeyError("hidden")

    broken = FORMATS["txt"].__class__(".bin", lambda _: [b"abcdefgh" * 9], read, (b"\xff",))
    count, found = search(broken, tmp_path, 600, seed=3, most=150)
    assert count == 150 and [data for data, _ in found.values()] == [b"\xff"]
    assert kind_of(next(iter(found.values()))[1]).startswith("KeyError")
