"""Write files whole or not at all: as temporary files beside them, then renamed over them."""

from __future__ import annotations

import errno
import io
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, cast

from caffe2fx.errors import CaffeError, CaffeFileError

try:
    import fcntl
except ImportError:  # Windows: nothing is locked there, and nothing is cleared away
    fcntl = None  # type: ignore[assignment]

PathLike = str | os.PathLike[str]

_TEMPORARY = re.compile(r"\.caffe2fx-[0-9a-f]{12}\.tmp")
_PATIENCE = 10.0  # seconds that a save waits for the renames of another one


@contextmanager
def file_errors() -> Iterator[None]:
    """Raise errors of the operating system about a file as CaffeFileError."""
    try:
        yield
    except CaffeError:
        raise
    except OSError as error:
        if error.errno is None:
            raise CaffeFileError(str(error)) from error
        raise CaffeFileError(error.errno, error.strerror, error.filename) from error


@contextmanager
def replacing(path: PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; its file replaces `path` if the block succeeds.

    If the block raises, `path` is as it was and the temporary file is gone.
    """
    with replacing_all([path]) as (temporary,):
        yield temporary


@contextmanager
def replacing_all(paths: Sequence[PathLike], *, durable: bool = True) -> Iterator[tuple[Path, ...]]:
    """Yield temporary paths for several files, renamed in the given order once all are written.

    Put the file that announces the others last. FileNotFoundError if a directory is missing,
    or if the block leaves one of the files unwritten; then nothing is renamed. All contents are
    on the disk before the first rename, unless `durable` is off, which is for scratch files.
    The renames of two processes do not mix, and leftovers of a killed process are removed.
    """
    targets = [_target(path) for path in paths]
    if len(set(targets)) < len(targets):
        raise ValueError(f"files to write need different paths, got {[str(p) for p in targets]}")
    folders = sorted({target.parent for target in targets})
    with ExitStack() as stack:
        _clear(folders)
        temporaries, locks = _temporaries(targets, stack)
        with _naming(temporaries, targets):
            yield temporaries
            for temporary, target in zip(temporaries, targets, strict=True):
                _check_written(temporary, target)
            _sync(temporaries if durable else ())
            with _locked(folders, _PATIENCE) as is_alone:
                if is_alone:  # nobody clears now, and a reader may ask for the new file's lock
                    locks.close()
                for temporary, target in zip(temporaries, targets, strict=True):
                    if target.exists():  # the permissions that open() would have left
                        shutil.copymode(target, temporary)
                    os.replace(temporary, target)
            _sync(folders if durable else ())


@contextmanager
def enduring(path: Path) -> Iterator[IO[bytes]]:
    """Yield a new file for libraries that a failed write ends or corrupts: torch's, HDF5.

    Each write seems to succeed to them; at the end the first OSError of all is raised.
    """
    with path.open("w+b", buffering=0) as raw:
        file = _Enduring(raw)
        try:
            yield cast(IO[bytes], file)
        except Exception:
            if file.error is None:
                raise
        if file.error is not None:
            raise file.error


class _Enduring(io.RawIOBase):
    """Passes every call on to a file until a write fails; that error is kept."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest and self.error is None:
            try:
                rest = rest[self._raw.write(rest) :]
            except OSError as error:
                self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        if self.error is None:
            try:
                return self._raw.truncate(size)
            except OSError as error:
                self.error = error
        return size or 0

    def readinto(self, buffer: Any) -> int:
        return self._raw.readinto(buffer) or 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


def _target(path: PathLike) -> Path:
    """Return the file that open() would write: links are followed, so that they stay links."""
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(
            errno.ENOENT, "The directory to write into does not exist", str(target.parent)
        )
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "Only a regular file can be replaced", str(target))
    return target


def _check_written(temporary: Path, target: Path) -> None:
    if not temporary.is_file() or not temporary.stat().st_size:
        raise FileNotFoundError(errno.ENOENT, f"Nothing was written for {target}", str(target))


@contextmanager
def _naming(temporaries: Sequence[Path], targets: Sequence[Path]) -> Iterator[None]:
    """Make errors about temporary paths, or about no path, name the file that was to be written."""
    target_of = {str(path): str(target) for path, target in zip(temporaries, targets, strict=True)}
    try:
        yield
    except OSError as error:
        name = None if error.filename is None else str(error.filename)
        if error.errno is None or isinstance(error, CaffeError) or name not in {None, *target_of}:
            raise
        path_or_folder = str(targets[0].parent) if name is None else target_of[name]
        raise OSError(error.errno, error.strerror, path_or_folder) from error


def _sync(paths: Iterable[Path]) -> None:
    """Wait until the disk holds these files, or the names in these folders."""
    for path in paths:
        if os.name == "nt" and path.is_dir():
            continue  # a folder cannot be opened there
        descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that cannot
                raise
        finally:
            os.close(descriptor)


# Temporary files are locked while their process lives: the lock ends with it, however it dies.


def _temporaries(targets: Sequence[Path], stack: ExitStack) -> tuple[tuple[Path, ...], ExitStack]:
    """Create a file beside each target, removed at the end of `stack`; return their locks too."""
    made: list[Path] = []
    locks = stack.enter_context(ExitStack())
    for target in targets:
        while True:
            made.append(_temporary_path(target))
            stack.callback(made[-1].unlink, missing_ok=True)
            locks.enter_context(_locked([made[-1]], _PATIENCE))
            if made[-1].exists():
                break
            made.pop()  # another process took it for a leftover before it was locked
    return tuple(made), locks


def _temporary_path(target: Path) -> Path:
    """Create an empty file in the target's folder, since a rename needs one file system.

    The suffix is kept: writers may choose the format by it.
    """
    made = target.with_name(f".caffe2fx-{secrets.token_hex(6)}.tmp{target.suffix}")
    with _naming([made], [target]):
        made.touch(exist_ok=False)
    return made


def _clear(folders: Iterable[Path]) -> None:
    """Remove the temporary files of processes that died, unless a save is just renaming its own."""
    for folder in folders:
        left = [name for name in _names(folder) if _TEMPORARY.match(name)]
        if not left:
            continue
        with _locked([folder]) as nobody_renames:
            for name in left if nobody_renames else ():
                with _locked([folder / name]) as is_left:
                    if is_left:
                        (folder / name).unlink(missing_ok=True)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # a folder may be for writing alone
        return []


@contextmanager
def _locked(paths: Iterable[Path], patience: float = 0.0) -> Iterator[bool]:
    """Yield whether this block holds the locks of all the files or folders.

    Where a lock cannot be had in time, for another process or for a file system without locks, it
    holds those it has: the pair's identifier then shows which files do not belong together.
    """
    end = time.monotonic() + patience
    with ExitStack() as stack:
        yield all(_lock(path, stack, end) for path in paths)


def _lock(path: Path, stack: ExitStack, end: float) -> bool:
    """Return whether the path's lock was free before `end`, and belongs to `stack` now."""
    if fcntl is None:
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:  # gone meanwhile, a link, or not ours to open
        return False
    stack.callback(os.close, descriptor)
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.005)
        except OSError:  # a network file system without locks
            return False
        else:
            return True
