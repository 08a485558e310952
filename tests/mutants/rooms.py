"""The rooms of the code, and the tests of each."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("caffe2fx", "fx2caffe")

# The tests of a room are those of its name, and these after them.
BESIDE: dict[str, tuple[str, ...]] = {
    "caffe2fx": ("tests/cli", "tests/report", "tests/files", "tests/verdict"),
    "caffe2fx/engines": ("tests/verdict/test_comparison.py",),
    "caffe2fx/files": ("tests/layers/test_rows.py", "tests/net"),
    "caffe2fx/layers": ("tests/layers/test_rows.py", "tests/layers", "tests/files", "tests/net"),
    "caffe2fx/layers/forks": ("tests/layers/forks", "tests/files", "tests/layers"),
    "caffe2fx/messages": ("tests/files", "tests/layers/test_rows.py", "tests/layers"),
    "caffe2fx/module": ("tests/net", "tests/layers/test_rows.py"),
    "caffe2fx/net": ("tests/module", "tests/exporter"),
    "caffe2fx/optimize": ("tests/module",),
    "caffe2fx/verdict": ("tests/exporter", "tests/engines"),
    "caffe2fx/weights": ("tests/module", "tests/faults"),
    "fx2caffe": ("tests/cli", "tests/test_plugin.py", "tests/exporter", "tests/detection"),
    "fx2caffe/exporter": ("tests/passes", "tests/cli", "tests/tracing"),
    "fx2caffe/ir": ("tests/legalize", "tests/ops/test_ops.py"),
    "fx2caffe/legalize": ("tests/ops/test_ops.py", "tests/targets"),
    "fx2caffe/lowering": ("tests/ops/test_batch.py", "tests/ops/test_ops.py", "tests/exporter"),
    "fx2caffe/ops": ("tests/ops/test_ops.py", "tests/ops"),
    "fx2caffe/passes": ("tests/exporter", "tests/ops/test_ops.py"),
    "fx2caffe/targets": ("tests/legalize",),
    "fx2caffe/tracing": ("tests/exporter", "tests/ops/test_ops.py"),
}
UNASKED = {"caffe2fx/engines/worker.py"}  # runs in the Python of a Caffe


def room_of(path: str) -> str:
    """Return the room of a file: its folder below a package, at most two below for forks."""
    package, *inner = Path(path).parent.parts
    deep = "/".join((package, *inner[:2]))
    return deep if deep in BESIDE else "/".join((package, *inner[:1]))


def files() -> dict[str, list[str]]:
    """Return the files of each room."""
    found: dict[str, list[str]] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name not in UNASKED:
                found.setdefault(room_of(name), []).append(name)
    return found


def tests_of(room: str) -> list[str]:
    """Return the paths of a room's tests, nearest first."""
    own, beside = "/".join(["tests", *room.split("/")[1:]]), [*BESIDE.get(room, ())]
    if own == "tests" or own in beside or not (ROOT / own).is_dir():
        return beside or ["tests/cli"]
    return [own, *beside]
