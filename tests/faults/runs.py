"""Faults while files are written: a kill, a full disk, a folder that goes away, another writer.

A point is one call of a function, of Python's or of C's, that a writer makes: `at` does something
there. Each fault happens in a fork, which leaves a folder to look at.
"""

from __future__ import annotations

import ctypes
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from caffe2fx.errors import CaffeError
from caffe2fx.weights import atomic
from tests.faults.writers import MIXED, NEW, OLD, VERSIONS, Writer

Act = Callable[[], Any]
FINE, OURS, OTHERS = range(3)  # how a fork ends: well, with an error of ours, with another one
_SAVES = atomic.__file__


def at(point: int, act: Act) -> None:
    """Let `act` run at a point of what this thread does from now on."""
    left = [point]

    def count(frame: Any, event: str, argument: Any) -> None:
        left[0] -= 1
        if not left[0]:
            sys.setprofile(None)
            act()

    sys.setprofile(count)


def points(write: Act) -> tuple[int, int]:
    """Return how many points a writer has, and at which it begins to save."""
    with tempfile.TemporaryFile() as answer:

        def measure() -> None:
            seen, first = [0], [0]

            def count(frame: Any, event: str, argument: Any) -> None:
                seen[0] += 1
                if not first[0] and frame.f_code.co_filename == _SAVES:
                    first[0] = seen[0]

            sys.setprofile(count)
            write()
            sys.setprofile(None)
            os.pwrite(answer.fileno(), f"{seen[0]} {first[0]}".encode(), 0)

        if forked(measure) != FINE:
            raise RuntimeError("needs a writer that writes, got one that fails")
        total, first = os.pread(answer.fileno(), 99, 0).split()
    return int(total), int(first)


def start(run: Act) -> int:
    """Run something in a fork; return its process."""
    sys.stdout.flush()
    if child := os.fork():
        return child
    status = FINE
    try:
        run()
    except CaffeError:
        status = OURS
    except BaseException:
        status = OTHERS
        with suppress(OSError):  # a full disk, say
            traceback.print_exc()
    finally:
        os._exit(status)


def end(child: int) -> int:
    """Wait for a fork; return how it ended, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def forked(run: Act) -> int:
    """Run something in a fork to its end; return how it ended."""
    return end(start(run))


@contextmanager
def folder_of_old(writer: Writer) -> Iterator[Path]:
    """Yield a folder with the old version."""
    with tempfile.TemporaryDirectory() as outer:
        folder = Path(outer, "folder")
        folder.mkdir()
        writer.write(folder, OLD)
        yield folder


def names(folder: Path) -> list[str]:
    """Return all paths below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def killer(writer: Writer, r: random.Random) -> Callable[[], str]:
    """Return what kills a process that replaces the old version, and returns what is left then.

    Three of four kills are within the save.
    """
    with folder_of_old(writer) as folder:
        total, first = points(lambda: writer.write(folder, NEW))
        writer.write(folder, NEW)
        whole = names(folder)

    def kill() -> str:
        return _killed_at(writer, r.randint(1 if r.random() < 0.25 else first, total), whole)

    return kill


def _killed_at(writer: Writer, point: int, whole: list[str]) -> str:
    def run() -> None:
        at(point, lambda: os.kill(os.getpid(), signal.SIGKILL))
        writer.write(folder, NEW)

    with folder_of_old(writer) as folder:
        status = forked(run)
        _check(status in (-signal.SIGKILL, FINE), f"a killed writer ends by the kill, got {status}")
        found = writer.read(folder)
        _check(found in (*VERSIONS, MIXED), f"killed at {point} needs a whole version, got {found}")
        _check_next(writer, folder, whole)
    return found


def _check_next(writer: Writer, folder: Path, whole: list[str]) -> None:
    """The next run writes the new version, and leaves nothing beside it."""
    _check(forked(lambda: writer.write(folder, NEW)) == FINE, "the next run succeeds")
    found = writer.read(folder)
    _check(found == NEW, f"the next run writes the new version, got {found}")
    _check(names(folder) == whole, f"the next run leaves {whole}, got {names(folder)}")


def full(writer: Writer, limit: int) -> str:
    """Write onto a disk on which no file takes more than so many bytes."""

    def run() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        writer.write(folder, NEW)

    with folder_of_old(writer) as folder:
        before = names(folder)
        return _ended(writer, folder, before, forked(run))


def read_only(writer: Writer) -> str:
    """Write into a folder that nobody may write into, root included."""

    def run() -> None:
        _obey_permissions()
        writer.write(folder, NEW)

    with folder_of_old(writer) as folder:
        before = names(folder)
        inner = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
        for path in inner:
            path.chmod(0o555)
        try:
            found = _ended(writer, folder, before, forked(run))
        finally:
            for path in inner:
                path.chmod(0o755)
        _check(found != NEW, "nothing can be written into a folder that is read only")
        return found


def _ended(writer: Writer, folder: Path, before: list[str], status: int) -> str:
    """Return the version there is after a failure, which is an error of ours, or a success."""
    _check(status in (FINE, OURS), f"needs success or an error of ours, got exit status {status}")
    found = writer.read(folder)
    wanted = {OURS: (*VERSIONS, MIXED), FINE: (NEW,)}[status]
    _check(found in wanted, f"needs a version of {wanted}, got {found}")
    left = [name for name in names(folder) if ".caffe2fx-" in name]
    _check(not left, f"needs no temporary file, got {left}; before {before}")
    return found


def _obey_permissions() -> None:
    """Give up root's right to write anywhere, of this process."""
    libc, version, pid = ctypes.CDLL(None, use_errno=True), 0x20080522, 0
    head, sets = (ctypes.c_uint32 * 2)(version, pid), (ctypes.c_uint32 * 6)()
    if libc.capget(head, sets) == 0:
        sets[0] &= ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, of those in effect
        libc.capset(head, sets)


def removed(writer: Writer, r: random.Random) -> str:
    """Remove the folder while it is written into: an error of ours, or success too early."""
    with folder_of_old(writer) as folder:
        total, _ = points(lambda: writer.write(folder, NEW))
    with folder_of_old(writer) as folder:
        point = r.randint(1, total)

        def run() -> None:
            at(point, lambda: shutil.rmtree(folder, ignore_errors=True))
            writer.write(folder, NEW)

        status = forked(run)
        _check(status in (FINE, OURS), f"removed at {point}, got exit status {status}")
    return "removed"


def two_writers(writer: Writer, r: random.Random) -> str:
    """Write both versions at the same time: one of them is there afterwards, whole."""

    def run(version: str) -> Act:
        def late() -> None:
            time.sleep(delays[version])
            writer.write(folder, version)

        return late

    delays = {version: r.random() * 0.05 for version in VERSIONS}
    with folder_of_old(writer) as folder:
        writer.write(folder, NEW)
        before = names(folder)
        children = [start(run(version)) for version in VERSIONS]
        ends = [end(child) for child in children]
        _check(ends == [FINE, FINE], f"both writers succeed, got {ends}")
        found = writer.read(folder)
        wanted = (*VERSIONS, MIXED) if writer.mixes else VERSIONS
        _check(found in wanted, f"needs a version of {wanted}, got {found}")
        _check(names(folder) == before, f"needs {before}, got {names(folder)}")
    return found


def _check(holds: bool, text: str) -> None:
    if not holds:
        raise AssertionError(text)
