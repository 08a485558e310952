"""Weights in a .caffemodel.h5: /data/<layer>/<index>, one float32 dataset a blob.

The format of choice above 2 GB, which Caffe's protobuf parser refuses.
"""

from __future__ import annotations

import math
import os
import posixpath
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path

import h5py
import numpy as np
import torch

from caffe2fx.errors import CaffeFormatError
from caffe2fx.progress import counted
from caffe2fx.weights.atomic import enduring
from caffe2fx.weights.blob_message import MAX_COUNT
from caffe2fx.weights.caffemodel import LayerWeights, float32, refuse_unwritable

_DEPTH = 64  # nested groups: a layer's name has as many parts
_EXPANSION, _ALWAYS = 16, 1 << 26  # memory for the values: so many times the file, and 64 MB
_IDENTIFIER = "caffe2fx id"  # an attribute of the file, which Caffe does not look at


def write(
    path: str | os.PathLike[str], layers: Sequence[LayerWeights], identifier: str = ""
) -> None:
    """Write every layer as a group, also one without blobs, since Caffe looks each of them up.

    `identifier` states which net's weights they are (see caffe2fx.weights.pairing).

    Wiring and types are not written. CaffeFormatError, before the file is touched, for layer
    names that HDF5 cannot hold or that Caffe would not find again.
    """
    _refuse_names([layer.name for layer in layers])
    for layer in layers:
        refuse_unwritable(layer)
    with enduring(Path(path)) as plain, h5py.File(plain, "w") as file:
        if identifier:
            file.attrs[_IDENTIFIER] = np.bytes_(identifier.encode())
        data = file.create_group("data")
        for layer in layers:
            group = data.create_group(layer.name)
            for index, blob in enumerate(layer.blobs):
                group.create_dataset(str(index), data=float32(blob).numpy())


def read(path: str | os.PathLike[str], *, max_bytes: int | None = None) -> tuple[LayerWeights, ...]:
    """Return the layers in HDF5's order, which is alphabetical; their types are not stored: "".

    Nested groups are layers whose names contain "/". Compressed or shared values may take 16 times
    the file's size in memory, and beyond that `max_bytes`. CaffeFormatError names the file and the
    group or dataset that is wrong, or that lies in another file.
    """
    size = os.stat(path).st_size
    with _opened(path) as file:
        data = file.get("data") if _is_within(file, "data") else None
        if not isinstance(data, h5py.Group):
            hint = " (this looks like a .solverstate)" if "learned_net" in file else ""
            raise CaffeFormatError(f"expected the group /data, found none{hint}")
        allowed = _EXPANSION * size + _ALWAYS if max_bytes is None else max_bytes
        found = _Reader(allowed).layers(data, "", 0)
        return tuple(counted("read HDF5", found, None, attrgetter("name")))


def identifier(path: str | os.PathLike[str]) -> str:
    """Return the identifier that `write` was given, empty for a file that was written otherwise."""
    with _opened(path) as file:
        if _IDENTIFIER not in file.attrs:
            return ""
        # Strings without a length lie in a heap; in a damaged one HDF5 searches without end.
        kind = file.attrs.get_id(_IDENTIFIER).dtype.kind
        stated = file.attrs[_IDENTIFIER] if kind == "S" else None
        return stated.decode(errors="replace") if isinstance(stated, bytes) else ""


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Open the file; HDF5's many errors become CaffeFormatErrors that name it."""
    with open(path, "rb"):
        pass  # h5py's own errors for a missing file or a directory are less clear
    try:
        with h5py.File(path, "r") as file:
            yield file
    except CaffeFormatError as error:
        raise CaffeFormatError(f"{os.fspath(path)}: {error}") from None
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        raise CaffeFormatError(f"{os.fspath(path)}: expected HDF5 weights, {error}") from error


def _refuse_names(names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if "/" in name or "\0" in name or name in ("", "."):
            raise CaffeFormatError(
                f"layer {name!r} cannot be named in an HDF5 file: write a .caffemodel instead, "
                "or name the layer otherwise"
            )
        if name in seen:
            raise CaffeFormatError(f"an HDF5 file needs different layer names, got two {name!r}")
        seen.add(name)


def _is_within(group: h5py.Group, key: str) -> bool:
    """Return whether the member is an object of the file itself, and no link by a path."""
    return isinstance(group.get(key, getlink=True), h5py.HardLink)


class _Reader:
    """Walks the groups of one file; each once, however many links lead there."""

    def __init__(self, allowed: int) -> None:
        self.allowed = self.left = allowed
        self.seen: set[object] = set()

    def layers(self, group: h5py.Group, name: str, depth: int) -> Iterator[LayerWeights]:
        """Yield the layer that this group is, if it is one, and those below it."""
        self._enter(group, depth)
        keys = tuple(group)
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise CaffeFormatError(f"expected each name once in {group.name}, found {twice} twice")
        members = {key: self._member(group, key) for key in keys}
        groups = {key: member for key, member in members.items() if isinstance(member, h5py.Group)}
        rest = {key: members[key] for key in members.keys() - groups.keys()}
        blobs = tuple(self._blobs(group.name, rest))
        if depth and (blobs or not groups):
            yield LayerWeights(name, "", blobs)
        elif blobs:
            raise CaffeFormatError(f"expected groups of layers in {group.name}, found datasets")
        for key, member in groups.items():
            yield from self.layers(member, f"{name}/{key}" if depth else key, depth + 1)

    def _enter(self, group: h5py.Group, depth: int) -> None:
        if depth > _DEPTH:
            raise CaffeFormatError(f"expected at most {_DEPTH} nested groups, found {group.name}")
        address = h5py.h5o.get_info(group.id).addr
        if address in self.seen:
            raise CaffeFormatError(f"expected each layer once, found {group.name} a second time")
        self.seen.add(address)

    def _member(self, group: h5py.Group, key: str) -> object:
        if not _is_within(group, key):
            path = posixpath.join(group.name, key)
            raise CaffeFormatError(f"expected layers and blobs of the file, found a link {path}")
        return group[key]

    def _blobs(self, path: str, members: dict[str, object]) -> Iterator[torch.Tensor]:
        """Yield the blobs of a group in the order of their indices."""
        for index in range(len(members)):
            dataset = members.get(str(index))
            if not isinstance(dataset, h5py.Dataset):
                found = ", ".join(sorted(members))
                raise CaffeFormatError(
                    f"expected datasets named 0, 1, ... in {path}, found {found}"
                )
            yield self._blob(dataset)

    def _blob(self, dataset: h5py.Dataset) -> torch.Tensor:
        """Return the dataset as float32, if it is in this file and of a size to be read."""
        _refuse_foreign(dataset)
        size = dataset.dtype.itemsize
        needed = math.prod(dataset.shape) * (size + 4 * (dataset.dtype != "<f4"))
        chunk = math.prod(dataset.chunks or (0,)) * size  # which is unpacked as a whole
        self.left -= needed
        if self.left < chunk:
            needed += chunk
            raise CaffeFormatError(
                f"{dataset.name} of shape {dataset.shape} needs {needed} bytes of memory, of which "
                f"a file of this size gets {self.allowed} in all: load it with a larger max_bytes="
            )
        return torch.from_numpy(np.asarray(dataset[()], dtype=np.float32))


def _refuse_foreign(dataset: h5py.Dataset) -> None:
    """Raise CaffeFormatError unless the dataset is a numeric array that this file itself holds."""
    shape, kind = dataset.shape, dataset.dtype.kind
    if shape is None or kind not in "fiu":
        raise CaffeFormatError(f"expected numbers in {dataset.name}, found {dataset.dtype}")
    if dataset.external or dataset.is_virtual:
        raise CaffeFormatError(f"expected values in {dataset.name}, found those of another file")
    if math.prod(shape) > MAX_COUNT:
        limit = f"at most {MAX_COUNT} values"
        raise CaffeFormatError(f"expected {limit} in {dataset.name}, found shape {shape}")
    if math.prod(shape) > 0 and dataset.id.get_storage_size() == 0:
        raise CaffeFormatError(f"expected stored values in {dataset.name}, found none")
