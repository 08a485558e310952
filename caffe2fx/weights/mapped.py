"""The bytes of a weights file: copied into memory where the file is small, else mapped.

A mapped file is read as its weights are used, and takes no memory beside the system's cache. But
who writes into it in place changes the weights of a module that lies over it, and who cuts it
short ends the process: hence a module looks at its files before it is used.
"""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from caffe2fx.errors import CaffeFileError, CaffeFormatError

READ_UP_TO = 1 << 24  # bytes: a copy of so few costs milliseconds

_LIVE: weakref.WeakSet[Mapping] = weakref.WeakSet()


class Stamp(NamedTuple):
    """Identifies a file's state: size, last write, last change of its inode, and content."""

    content: tuple[int, int]
    changed: int
    inode: tuple[int, int, int, int, bool]


class Mapping(mmap.mmap):
    """Maps a file privately, and knows the file's state when it was mapped."""

    path: str
    begin: int  # the address of its first byte
    descriptor: int
    stamp: Stamp

    @property
    def is_stale(self) -> bool:
        """Return whether somebody has written into the file; one renamed over it does no harm.

        Who sets the time of the last write back cannot set that of the last change of the inode,
        which owners, links and names move as well: where one of those has changed, that was it.
        """
        now, before = _stamp(self.descriptor, self.path), self.stamp
        if now.content != before.content:
            return True
        if now.changed != before.changed and now.inode == before.inode:
            return True
        self.stamp = now
        return False

    def holds(self, tensor: Tensor) -> bool:
        """Return whether the tensor's memory is bytes of the file."""
        return tensor.numel() > 0 and 0 <= tensor.data_ptr() - self.begin < len(self)

    def __del__(self) -> None:
        os.close(self.descriptor)


class Watch:
    """Watches the mapped files that some tensors lie over.

    Copies and pickles of a module have memory of their own, and so nothing to watch.
    """

    def __init__(self, mappings: Iterable[Mapping] = ()) -> None:
        self._mappings = [weakref.ref(mapping) for mapping in mappings]

    def __reduce__(self) -> tuple[Any, ...]:
        return Watch, ()

    @classmethod
    def over(cls, tensors: Iterable[Tensor]) -> Watch:
        """Return the watch over the files that these tensors lie over now."""
        known = list(tensors)
        return cls(one for one in list(_LIVE) if any(map(one.holds, known)))

    def check(self, tensors: Callable[[], Iterable[Tensor]]) -> None:
        """Raise CaffeFileError if one of the tensors lies over a file that was written into."""
        for found in self._mappings:
            mapping = found()
            if mapping is not None and mapping.is_stale and any(map(mapping.holds, tensors())):
                raise CaffeFileError(
                    f"{mapping.path} was written into after it was loaded, and the module's "
                    "weights are its bytes: load it again (with mmap=False load takes a copy)"
                )


def check_unwritten(tensors: Iterable[Tensor]) -> None:
    """Raise CaffeFileError if one of the tensors lies over a file that was written into."""
    known = list(tensors)
    Watch.over(known).check(lambda: known)


def memory_of(path: str | os.PathLike[str], *, may_map: bool = True) -> mmap.mmap:
    """Return the file's bytes; writing to them never reaches the file."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise CaffeFormatError(f"{os.fspath(path)}, byte 0: expected weights, found no bytes")
        if may_map and size > READ_UP_TO:
            return _mapping(file.fileno(), os.fspath(path))
        copy = mmap.mmap(-1, size, access=mmap.ACCESS_COPY)  # aligned, and not shared by forks
        if file.readinto(copy) != size:
            raise CaffeFileError(f"{os.fspath(path)} was cut short while it was read")
        return copy


def _mapping(descriptor: int, path: str) -> Mapping:
    made = Mapping(descriptor, 0, access=mmap.ACCESS_COPY)
    made.path, made.descriptor = os.path.abspath(path), os.dup(descriptor)
    made.stamp = _stamp(descriptor, made.path)
    made.begin = np.ndarray((1,), np.uint8, made).ctypes.data
    _LIVE.add(made)
    return made


def _stamp(descriptor: int, path: str) -> Stamp:
    found = os.fstat(descriptor)
    try:
        exists = os.path.samestat(found, os.stat(path))
    except OSError:
        exists = False
    inode = found.st_nlink, found.st_mode, found.st_uid, found.st_gid, exists
    return Stamp((found.st_size, found.st_mtime_ns), found.st_ctime_ns, inode)
