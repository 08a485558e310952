"""The child process that holds real Caffe: the files it starts from, and its environment."""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from caffe2fx.errors import EngineError


@dataclass(frozen=True)
class Machine:
    """Holds the differences between the machines for which Debian built Caffe."""

    architecture: str  # Debian's name
    triplet: str
    loader: str

    def libraries(self, root: Path) -> Path:
        return root / "usr/lib" / self.triplet


MACHINES: Mapping[str, Machine] = {
    "x86_64": Machine("amd64", "x86_64-linux-gnu", "lib64/ld-linux-x86-64.so.2"),
    "aarch64": Machine("arm64", "aarch64-linux-gnu", "lib/ld-linux-aarch64.so.1"),
}


@dataclass(frozen=True)
class Installed:
    """Holds how to start a Python that can `import caffe`: its files and its environment.

    `command` is the argv prefix to which a script's path is appended, and `env` the complete
    environment of the child: nothing of the parent's may leak in.
    """

    command: tuple[str, ...]
    env: Mapping[str, str]


def this_machine() -> Machine | None:
    """Return the entry of the machine that this runs on; None if there is no Caffe for it."""
    return MACHINES.get(platform.machine()) if sys.platform == "linux" else None


def started_from(root: Path, machine: Machine) -> Installed:
    """Return the Python of the packages unpacked at `root`, run by their own ld.so and libc."""
    libraries = machine.libraries(root)
    library_path = [
        root / "stubs/lib",
        libraries / "openblas-pthread",
        root / "lib" / machine.triplet,
        libraries,
        libraries / "hdf5/serial",
    ]
    command = (
        str(root / machine.loader),
        "--inhibit-cache",  # the host's ld.so.cache names the host's libraries
        "--library-path",
        ":".join(map(str, library_path)),
        str(root / "usr/bin/python3.9"),
    )
    return Installed(command, _environment(root, machine))


def _environment(root: Path, machine: Machine) -> dict[str, str]:
    env = {
        "PYTHONHOME": str(root / "usr"),
        "PYTHONPATH": str(root / "stubs" / "py"),
        "PYTHONNOUSERSITE": "1",  # ~/.local/lib/python3.9 is not for this Python
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        "GLOG_minloglevel": "2",  # errors only; a failed CHECK still prints why
        "OPENBLAS_NUM_THREADS": "1",  # the bits of a sum depend on the thread count
    }
    if machine.architecture == "amd64" and _has_avx2():
        env["OPENBLAS_CORETYPE"] = "Haswell"  # the same bits on every such CPU
    return env


def _has_avx2() -> bool:
    """Return whether the CPU has AVX2 and FMA, without which OpenBLAS' Haswell kernels crash."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return {"avx2", "fma"} <= set(text.split())


def run(caffe: Installed, *arguments: str) -> str:
    """Return the child's standard output; raise EngineError with its stderr if it fails."""
    try:
        done = subprocess.run(
            [*caffe.command, *arguments],
            env=dict(caffe.env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=300,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"the installed Caffe does not start: {error}") from error
    if done.returncode != 0:
        raise EngineError(
            f"the installed Caffe fails (exit status {done.returncode}); output:\n{done.stderr}"
        )
    return done.stdout


def check(caffe: Installed) -> None:
    """Run a one-layer net in this Caffe and check its result; raise EngineError if it is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        net = Path(folder) / "relu.prototxt"
        net.write_text(_CHECK_NET, encoding="ascii")
        printed = run(caffe, "-c", _CHECK_SCRIPT, str(net)).split()
    if printed != ["0.0", "0.0", "2.5"]:
        raise EngineError(
            f"the installed Caffe's ReLU of -1, 0, 2.5 needs 0, 0, 2.5, got {printed}"
        )


_CHECK_NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 3 } } }
layer { name: "y" type: "ReLU" bottom: "x" top: "y" }
"""
_CHECK_SCRIPT = """
import sys, caffe
net = caffe.Net(sys.argv[1], caffe.TEST)
net.blobs["x"].data[...] = [-1, 0, 2.5]
net.forward()
print(*net.blobs["y"].data)
"""
