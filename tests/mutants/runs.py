"""Run a room's tests on a broken copy of the code, in forks of a process that has loaded torch.

A fork imports the copy anew, runs the nearest tests first, and stops at the first red one or
when its time is over. This process may import nothing of the two packages.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults.forked import use_code_of
from tests.mutants import rooms
from tests.mutants.operators import Mutant, mutants

SLOW = 20  # times as long as its own time may a run take beside other programs
HANGS = (-signal.SIGKILL, -signal.SIGXCPU)
LIVING = {int(pytest.ExitCode.OK): "lived", int(pytest.ExitCode.INTERRUPTED): "late"}
MOST_MEMORY = 16 << 30
NOT_COPIED = shutil.ignore_patterns(".git", "__pycache__", ".*_cache", "node_modules")


@dataclass(frozen=True)
class Ended:
    """Holds how a run of tests ended: pytest's status, how many passed, and which failed first."""

    status: int
    passed: int = 0
    failed: str = ""


class Watch:
    """Lets pytest run the nearest tests first, until the process's time is over, and counts them.

    That time does not pass while other programs run.
    """

    def __init__(self, mutant: Mutant | None, seconds: float) -> None:
        self.mutant, self.passed, self.failed = mutant, 0, ""
        self.end = time.process_time() + seconds

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Sort the tests: those named by the function, those of the file's name, all others."""
        if self.mutant is not None:
            stem = Path(self.mutant.path).stem
            words = [part.strip("_").lower() for part in self.mutant.scope.split(".") if part]
            items.sort(key=lambda item: _distance(item, stem, words))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test that passed; keep the first that did not."""
        self.passed += report.passed and report.when == "call"
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        """Stop where the time is over."""
        if time.process_time() > self.end:
            item.session.shouldstop = "the time is over"


def _distance(item: pytest.Item, stem: str, words: Sequence[str]) -> int:
    named = item.nodeid.rsplit("::", 1)[-1].lower()
    if any(word in named for word in words):
        return 0
    rows = getattr(sys.modules.get(f"{item.module.__package__}.{stem}"), "ROWS", ())  # type: ignore[attr-defined]
    own = {id(row) for row in rows}
    callspec = getattr(item, "callspec", None)
    is_own = callspec is not None and any(id(value) in own for value in callspec.params.values())
    return 1 if is_own or item.path.stem == f"test_{stem}" else 2


class Tree:
    """A copy of the project, in which one file at a time is broken."""

    def __init__(self, root: Path) -> None:
        self.root, self._stamp = root, time.time()

    def source(self, path: str) -> bytes:
        """Return a file as it is."""
        return (self.root / path).read_bytes()

    def write(self, path: str, source: bytes) -> None:
        """Write a file with a time of its own, so that no compiled one is taken for it."""
        self._stamp += 1
        (self.root / path).write_bytes(source)
        os.utime(self.root / path, (self._stamp, self._stamp))

    def run(self, tests: Sequence[str], seconds: float, mutant: Mutant | None = None) -> Ended:
        """Run tests in a fork; None for the mutant leaves the code as it is."""
        if mutant is None:
            return self._forked(tests, seconds, None)
        source = self.source(mutant.path)
        self.write(mutant.path, mutant.applied(source))
        try:
            return self._forked(tests, seconds, mutant)
        finally:
            self.write(mutant.path, source)

    def _forked(self, tests: Sequence[str], seconds: float, mutant: Mutant | None) -> Ended:
        with tempfile.NamedTemporaryFile() as answer:
            sys.stdout.flush()
            if not (child := os.fork()):
                self._in_child(tests, Watch(mutant, seconds), Path(answer.name), 3 * int(seconds))
            status = _waited(child, SLOW * seconds)
            text = Path(answer.name).read_text()
            return Ended(**json.loads(text)) if text else Ended(status)

    def _in_child(self, tests: Sequence[str], watch: Watch, answer: Path, most: int) -> None:
        """Run pytest on the copy, and write how it ended."""
        try:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
            resource.setrlimit(resource.RLIMIT_CPU, (most, most))
            _quiet()
            use_code_of(str(self.root))
            status = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests], plugins=[watch])
            ended = {"status": int(status), "passed": watch.passed, "failed": watch.failed}
            answer.write_text(json.dumps(ended))
        finally:
            os._exit(0)


def _quiet() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)


def _waited(child: int, seconds: float) -> int:
    """Return how a fork ended; it and all that it started are ended where it takes longer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return HANGS[0]


@contextmanager
def copied() -> Iterator[Tree]:
    """Yield a copy of the project."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "tree")
        shutil.copytree(rooms.ROOT, root, ignore=NOT_COPIED, symlinks=True)
        yield Tree(root)


def drawn(r: random.Random, tree: Tree, paths: Sequence[str]) -> Mutant:
    """Return a random break of one of these files: the operator first, so that rare ones come."""
    found = [mutant for path in paths for mutant in mutants(path, tree.source(path))]
    operator = r.choice(sorted({mutant.operator for mutant in found}))
    return r.choice([mutant for mutant in found if mutant.operator == operator])


def judged(tree: Tree, mutant: Mutant, seconds: float, green: dict[str, bool]) -> tuple[str, Ended]:
    """Return "killed", "lived", "late", "hangs" or "unfit", and how the tests of its room ended.

    It lives where all of them pass; it is late where their time is over before, and unfit where no
    test runs, or the one that fails does so without it: `green` keeps that.
    """
    ended = tree.run(rooms.tests_of(rooms.room_of(mutant.path)), seconds, mutant)
    if ended.status in HANGS:
        return "hangs", ended
    if ended.passed and ended.status in LIVING:
        return LIVING[ended.status], ended
    if ended.status != pytest.ExitCode.TESTS_FAILED:
        return "unfit", ended
    if ended.failed not in green:
        green[ended.failed] = tree.run([ended.failed], seconds).status == pytest.ExitCode.OK
    return "killed" if green[ended.failed] else "unfit", ended


def load_libraries() -> None:
    """Import what takes long and is none of ours, for all forks."""
    import google.protobuf.descriptor_pb2
    import h5py
    import hypothesis
    import torch
    import torch.export
    import torch.testing._internal.common_methods_invocations
    import torchvision

    loaded: Any = (google.protobuf.descriptor_pb2, h5py, hypothesis, torchvision)
    assert all(loaded)
    torch.set_num_threads(1)
    if ours := [name for name in sys.modules if name.split(".")[0] in rooms.PACKAGES]:
        raise RuntimeError(f"needs a process without {', '.join(rooms.PACKAGES)}, got {ours}")
