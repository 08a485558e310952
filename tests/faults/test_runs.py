"""Some faults of each writer; `python -m tests.faults 1000` asks for many."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults import runs
from tests.faults.writers import MIXED, OLD, VERSIONS, WRITERS, Writer

FAST = ["caffemodel", "HDF5", "folder of maps", "npz"]


@pytest.mark.parametrize("name", FAST)
def test_two_kills(name: str) -> None:
    kill = runs.killer(WRITERS[name], random.Random(name))
    assert {kill(), kill()} <= {*VERSIONS, MIXED}


@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_that_is_read_only(name: str) -> None:
    assert runs.read_only(WRITERS[name]) in (OLD, MIXED)


@pytest.mark.sweep
@pytest.mark.parametrize("name", WRITERS)
def test_every_fault(name: str) -> None:
    writer, r = WRITERS[name], random.Random(name)
    kill = runs.killer(writer, r)
    for _ in range(8):
        kill()
    for size in (0, 500, 5000, 30_000):
        runs.full(writer, size)
    runs.removed(writer, r)
    for _ in range(2):
        runs.two_writers(writer, r)


def _write(folder: Path, version: str) -> None:
    for name in ("a", "b"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_text(version)


def _read(folder: Path) -> str:
    found = {path.read_text() for path in folder.iterdir()}
    found |= set() if (folder / "a").exists() else {"nothing"}
    return found.pop() if len(found) == 1 else "a mixture"


def test_a_writer_that_is_not_careful_is_seen() -> None:
    kill = runs.killer(Writer(_write, _read), random.Random(1))
    with pytest.raises(AssertionError, match="needs a whole version, got a mixture"):
        for _ in range(60):
            kill()


def test_an_error_that_is_not_ours_is_seen() -> None:
    with pytest.raises(AssertionError, match="an error of ours, got exit status 2"):
        runs.read_only(Writer(_write, _read))
