"""Pytest in forks of a process that has imported torch, which takes longer than most tests."""

from __future__ import annotations

import os
import sys
from multiprocessing import get_context
from pathlib import Path

OWN = ("fx2caffe", "caffe2fx", "tests")
FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(["torch", "torchvision", "pytest", "hypothesis", "h5py", "cv2"])


def pytest_status(folder: Path, tests: list[str], log: Path) -> int:
    """Run tests on the code of a folder; return pytest's exit status. `log` receives its output."""
    process = FORKS.Process(target=_run, args=(str(folder), tests, str(log)))
    process.start()
    process.join()
    return process.exitcode or 0


def _run(folder: str, tests: list[str], log: str) -> None:
    import pytest

    # The names that brought this function here stand for the code of another folder.
    for name in [name for name in sys.modules if name.partition(".")[0] in OWN]:
        del sys.modules[name]
    os.chdir(folder)
    sys.path.insert(0, folder)
    os.environ["PYTHONPATH"] = folder
    sys.dont_write_bytecode = True
    with open(log, "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))
