"""`caffe2fx engine install pycaffe`: real BVLC Caffe 1.0 in the user's cache, without root.

The files are Debian 11's, fixed by size and SHA256 in lock.tsv. They bring their own C
library and Python, so that they run on any x86-64 or arm64 Linux.
"""

from __future__ import annotations

import glob
import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from caffe2fx.engines.install.download import (
    Downloads,
    Mirror,
    Package,
    Progress,
    digest,
    lock_text,
    read_lock,
)
from caffe2fx.engines.install.environment import (
    Installed,
    Machine,
    check,
    run,
    started_from,
    this_machine,
)
from caffe2fx.engines.install.mirrors import mirrors
from caffe2fx.engines.install.stubs import VERSION as STUBS_VERSION
from caffe2fx.engines.install.stubs import write_stubs
from caffe2fx.engines.install.unpack import unpack
from caffe2fx.errors import EngineError

__all__ = ["Installed", "cache_dir", "install", "installed"]

MARKER = "caffe2fx-complete"
_PARTIAL = ".partial-"
_UNUSABLE = ":;$"  # ld.so and Python split or expand paths at these


def cache_dir() -> Path:
    """Return $CAFFE2FX_CACHE, else $XDG_CACHE_HOME/caffe2fx, else ~/.cache/caffe2fx."""
    own = os.environ.get("CAFFE2FX_CACHE")
    if own:
        return Path(own).expanduser()
    # By the XDG specification a relative path is to be ignored.
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(xdg) if os.path.isabs(xdg) else Path.home() / ".cache") / "caffe2fx"


def installed(root: Path | None = None) -> Installed | None:
    """Return the Caffe below `root` (default: in the cache), None if it is not completely there."""
    machine, folder = this_machine(), _folder(root)
    if machine is None or _marker(folder) != _identity(_packages(machine)):
        return None
    caffe = started_from(folder, machine)
    # Cleaners of caches may have taken files but not the marker.
    return caffe if all(map(os.path.exists, (caffe.command[0], caffe.command[-1]))) else None


def install(
    root: Path | None = None, mirror: str | None = None, progress: Progress | None = None
) -> Installed:
    """Fetch, check, unpack and try real Caffe; do nothing if it is installed already.

    `progress` is called with the steps done, all steps, and the last step's text. Raises
    EngineError if the machine is not supported, no mirror delivers, or the result does not run; a
    previous install then stays.
    """
    machine, folder = _supported_machine(), _folder(root)
    try:
        _refuse_unusable(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            present = installed(folder)
            return present or _install(folder, machine, mirrors(mirror), progress or _silent)
    except OSError as error:
        raise EngineError(
            f"the pycaffe engine needs a cache folder that can be written, got: {error}; "
            "name another one by the variable CAFFE2FX_CACHE"
        ) from error


def _install(folder: Path, machine: Machine, roots: Sequence[str], progress: Progress) -> Installed:
    packages = _packages(machine)
    steps = len(packages) + 3
    downloads = Downloads(cache_dir() / "downloads", [Mirror(root) for root in roots])
    downloads.fetch_all(packages, lambda done, _, text: progress(done, steps, text))
    with _scratch(folder) as scratch:
        _unpack_all(packages, downloads, scratch)
        write_stubs(machine.libraries(scratch) / "libcaffe.so.1.0.0", scratch / "stubs")
        progress(steps - 2, steps, "unpacked")
        _compile(scratch, machine)
        progress(steps - 1, steps, "compiled")
        check(started_from(scratch, machine))
        (scratch / MARKER).write_text(_identity(packages), encoding="ascii")
        _swap_in(scratch, folder)
    progress(steps, steps, "checked")
    return started_from(folder, machine)


def _compile(root: Path, machine: Machine) -> None:
    """Byte-compile with the child itself: import caffe then takes 0.2 s instead of 0.7."""
    folders = [
        root / "usr/lib/python3.9",
        root / "usr/lib/python3/dist-packages",
        root / "stubs/py",
    ]
    run(started_from(root, machine), "-c", _COMPILE_SCRIPT, *map(str, folders))


# Some packages carry templates that do not compile: no reason to stop.
_COMPILE_SCRIPT = """
import compileall, sys
for folder in sys.argv[1:]:
    compileall.compile_dir(folder, quiet=2, workers=0)
"""


def _unpack_all(packages: Sequence[Package], downloads: Downloads, root: Path) -> None:
    with ThreadPoolExecutor() as pool:  # xz's decoder runs without Python's lock
        list(pool.map(lambda package: unpack(downloads.fetch(package), root), packages))


def _swap_in(scratch: Path, folder: Path) -> None:
    """Rename the finished folder to its name, and an old one away."""
    old = scratch.with_name(scratch.name + "-old")
    try:
        if folder.exists():
            folder.rename(old)
        scratch.rename(folder)
    except OSError:
        if not installed(folder):  # else another install, not seen through the lock, was first
            if old.exists():
                old.rename(folder)
            raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """Yield a folder beside `folder`, on the same file system, that is removed afterwards."""
    scratch = Path(tempfile.mkdtemp(prefix=folder.name + _PARTIAL, dir=folder.parent))
    scratch.chmod(0o755)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock file, and remove the files that a killed install left."""
    import fcntl  # only where Caffe runs at all

    with folder.with_name(folder.name + ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # a network file system without locks: the rename decides
            yield
            return
        for left in folder.parent.glob(glob.escape(folder.name + _PARTIAL) + "*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def _folder(root: Path | None) -> Path:
    # ld.so is given absolute paths, since the child may run in another folder.
    return Path(os.path.abspath(cache_dir() / "pycaffe" if root is None else root))


def _refuse_unusable(folder: Path) -> None:
    if any(letter in str(folder) for letter in _UNUSABLE):
        raise EngineError(f"the pycaffe engine needs a folder without {_UNUSABLE!r}, got {folder}")
    if folder.exists() and not (folder / MARKER).exists() and any(folder.iterdir()):
        raise EngineError(f"the pycaffe engine needs a folder of its own, got {folder} with files")


def _supported_machine() -> Machine:
    machine = this_machine()
    if machine is None:
        raise EngineError(
            "the pycaffe engine can be installed on Linux x86_64 and aarch64, got "
            f"{platform.system()} {platform.machine()}; to use a Caffe that you have, set "
            "CAFFE2FX_PYCAFFE=/path/to/python of a Python that can import caffe"
        )
    return machine


def _packages(machine: Machine) -> list[Package]:
    return read_lock(lock_text(), machine.architecture)


def _identity(packages: Sequence[Package]) -> str:
    """Return the content of a complete install's marker: these packages and these stubs."""
    return hashlib.sha256(f"{digest(packages)} stubs {STUBS_VERSION}".encode()).hexdigest()


def _marker(folder: Path) -> str:
    try:
        return (folder / MARKER).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""


def _silent(done: int, steps: int, text: str) -> None:
    """Ignore the progress, for callers that pass no function."""
