"""Pytest in forks of a process that has imported torch, which takes longer than most tests."""

from __future__ import annotations

import os
import sys
from multiprocessing import get_context
from pathlib import Path

OWN = ("fx2caffe", "caffe2fx", "tests")
ROOT = str(Path(__file__).parents[2])
FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(["torch", "torchvision", "pytest", "hypothesis", "h5py", "cv2"])


def pytest_status(folder: Path, tests: list[str], log: Path) -> int:
    """Run tests on the code of a folder; return pytest's exit status. `log` receives its output."""
    process = FORKS.Process(target=_run, args=(str(folder), tests, str(log)))
    process.start()
    process.join()
    return process.exitcode or 0


def use_code_of(folder: str) -> None:
    """Let this process, a fork, import the packages and tests of a folder from now on."""
    for name in [name for name in sys.modules if name.partition(".")[0] in OWN]:
        del sys.modules[name]  # it stands for the code of another folder
    os.chdir(folder)
    sys.path[:] = [folder, *(path for path in sys.path if path not in ("", ROOT))]
    os.environ["PYTHONPATH"] = folder


def _run(folder: str, tests: list[str], log: str) -> None:
    import pytest

    use_code_of(folder)
    sys.dont_write_bytecode = True
    with open(log, "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))
