"""Changed files end in errors of ours, in bounded time; and so do all inputs that once did not."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fuzz.formats import FORMATS
from tests.fuzz.mutations import mutated
from tests.fuzz.runs import fault, kind_of, search

# Findings: each of these ended in an error that was not ours.
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


def test_the_search_finds_and_shrinks(tmp_path: Path) -> None:
    def read(path: Path) -> None:
        if b"\xff" in path.read_bytes():
            raise KeyError("hidden")

    broken = FORMATS["txt"].__class__(".bin", lambda _: [b"abcdefgh" * 9], read, (b"\xff",))
    count, found = search(broken, tmp_path, 600, seed=3, most=150)
    assert count == 150 and [data for data, _ in found.values()] == [b"\xff"]
    assert kind_of(next(iter(found.values()))[1]).startswith("KeyError")
