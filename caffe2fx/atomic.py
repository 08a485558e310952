"""Files appear whole or not at all: written beside their place, then renamed over it."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from caffe2fx.errors import CaffeError, CaffeFileError

PathLike = str | os.PathLike[str]


@contextmanager
def file_errors() -> Iterator[None]:
    """What the operating system says about a file becomes a CaffeFileError."""
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
    """A temporary path beside `path`; what is written there replaces `path` if the block succeeds.

    If the block raises, `path` is as it was and the temporary file is gone.
    """
    with replacing_all([path]) as (temporary,):
        yield temporary


@contextmanager
def replacing_all(paths: Sequence[PathLike]) -> Iterator[tuple[Path, ...]]:
    """As `replacing`, for several files: renamed in the given order once all are written.

    Put the file that announces the others last. FileNotFoundError if a directory is missing,
    or if the block leaves one of the files unwritten; then nothing is renamed.
    """
    targets = [_target(path) for path in paths]
    if len(set(targets)) < len(targets):
        raise ValueError(f"files to write need different paths, got {[str(p) for p in targets]}")
    temporaries = tuple(_beside(target) for target in targets)
    try:
        yield temporaries
        for temporary, target in zip(temporaries, targets, strict=True):
            _match_mode(temporary, target)
        for temporary, target in zip(temporaries, targets, strict=True):
            os.replace(temporary, target)
    finally:
        for temporary in temporaries:
            temporary.unlink(missing_ok=True)


def _target(path: PathLike) -> Path:
    """The file that open() would write: links are followed, so that they stay links."""
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(
            errno.ENOENT, "The directory to write into does not exist", str(target.parent)
        )
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "Only a regular file can be replaced", str(target))
    return target


def _beside(target: Path) -> Path:
    """A new name in the target's directory, since a rename is atomic only within one file system.

    The suffix is kept: writers may choose the format by it.
    """
    return target.with_name(f".{secrets.token_hex(6)}.tmp{target.suffix}")


def _match_mode(temporary: Path, target: Path) -> None:
    """Give the new file the permissions of the one it replaces, as open() would leave them."""
    if not temporary.is_file():
        raise FileNotFoundError(errno.ENOENT, f"Nothing was written for {target}", str(temporary))
    if target.exists():
        shutil.copymode(target, temporary)
