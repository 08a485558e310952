"""Writes and views: which node gives a tensor's values at each moment."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.fx import Node
from torch.multiprocessing.reductions import StorageWeakRef

from caffe2fx.errors import CaffeError
from fx2caffe.tracing.values.tensor_meta import TensorMeta


class Geometry(NamedTuple):
    """Holds where in its storage a tensor's elements are."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    turned: tuple[bool, bool] = (False, False)  # views that are conjugate and negative

    def reads_like(self, other: Geometry) -> bool:
        """Return whether both take the memory that they share for the same values."""
        return (self.dtype, self.turned) == (other.dtype, other.turned)


def geometry(tensor: Tensor) -> Geometry:
    offset = int(tensor.storage_offset())
    turned = tensor.is_conj(), tensor.is_neg()
    return Geometry(tensor.dtype, tuple(tensor.shape), tensor.stride(), offset, turned)


def storage_key(tensor: Tensor) -> int | None:
    """Return the address of a tensor's storage; None for tensors that have none (sparse)."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):
        return None


def version(tensor: Tensor) -> int:
    """Return how often a tensor was written; -1 where torch does not count (inference tensors)."""
    try:
        return -1 if tensor.is_inference() else tensor._version
    except RuntimeError:  # a parameter over the memory of an inference tensor
        return -1


def positions(view: Geometry) -> Tensor:
    """Return the storage positions of a tensor's elements, in the order of its elements."""
    result = torch.full((1,), view.offset)
    for size, stride in zip(view.shape, view.stride, strict=True):
        result = (result[:, None] + torch.arange(size) * stride).flatten()
    return result


def is_row_major(tensor: Tensor) -> bool:
    """Return whether a tensor has the strides of a new one, those of axes of size 1 as well."""
    wanted = 1
    for size, stride in zip(reversed(tensor.shape), reversed(tensor.stride()), strict=True):
        if stride != wanted:
            return False
        wanted *= size
    return True


def overlaps_itself(tensor: Tensor) -> bool:
    """Return whether two elements of a tensor share a memory position (expand, unfold)."""
    answer = int(torch._debug_has_internal_overlap(tensor))
    if answer != _TOO_HARD:
        return bool(answer)
    found = positions(geometry(tensor))
    return len(torch.unique(found)) < len(found)


_TOO_HARD = 2  # of torch's quick test


def shared_alike(tensor: Tensor, source: Tensor) -> bool:
    """Return whether elements that share a position in `tensor` share one in `source` as well."""
    pairs = torch.stack([positions(geometry(x)) for x in (tensor, source.expand(tensor.shape))])
    return bool(torch.unique(pairs, dim=1).shape[1] == len(torch.unique(pairs[0])))


def is_basic(index: Any) -> bool:
    """Return whether an index gives a view: ints, slices, None and Ellipsis."""
    parts = index if isinstance(index, tuple) else (index,)
    kinds = int | slice | type(None) | type(Ellipsis)
    return all(isinstance(part, kinds) and not isinstance(part, bool) for part in parts)


def overlay(base: Geometry, value: Geometry) -> Tensor | None:
    """Index into cat(base, value) that reads base after value was written over it.

    None where the two do not meet. Indices below base's size keep its own elements.
    """
    target, source = positions(base), positions(value)
    reach = int(max(target.max(), source.max())) + 1 if len(target) and len(source) else 0
    owner = torch.full((reach,), -1)
    owner[source[: len(source) if reach else 0]] = torch.arange(len(source) if reach else 0)
    hit = owner[target] if reach else torch.full((len(target),), -1)
    if not bool((hit >= 0).any()):
        return None
    return torch.where(hit >= 0, hit + len(target), torch.arange(len(target)))


@dataclass
class Memory:
    """Holds one traced storage: its first value and every write since, with its geometry."""

    weak: StorageWeakRef  # held so that the address can not be given to another storage
    origin: Geometry
    node: Node
    writes: list[tuple[Geometry, Node]] = field(default_factory=list)


@dataclass
class Entry:
    """Holds the node and the memory of one traced tensor."""

    ref: weakref.ref[Tensor]
    node: Node
    memory: Memory
    seen: int  # how many of memory's writes `node` already has
    version: int


Emit = Callable[[list[Node], Tensor, TensorMeta], Node]


class UnseenWrite(CaffeError):
    """Raised if a traced tensor was written where the tracer could not see it: a refusal."""


class Table:
    """Finds traced tensors that are alive by identity and by storage; holds none itself."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._entries: dict[int, Entry] = {}
        self._memories: dict[int, Memory] = {}

    def owns(self, tensor: Tensor) -> bool:
        """Return whether the tensor, or any other over its storage, is traced."""
        entry = self._entries.get(id(tensor))
        if entry is not None and entry.ref() is tensor:
            return True
        return bool(self._memories) and storage_key(tensor) in self._memories

    def node(self, tensor: Tensor) -> Node | None:
        """Return the node that gives a tensor's present values; None for a constant."""
        entry = self._entries.get(id(tensor))
        if entry is None or entry.ref() is not tensor:
            memory = self._memories.get(storage_key(tensor) or 0)
            if memory is None:
                return None
            entry = self._adopt(tensor, memory)
        return self._refresh(entry, tensor)

    def same_memory(self, tensor: Tensor, other: Tensor) -> bool:
        """Return whether two traced tensors share their memory."""
        mine = self._memories.get(storage_key(tensor) or 0)
        return mine is not None and mine is self._memories.get(storage_key(other) or 0)

    def shares_address(self, tensor: Tensor) -> bool:
        """Return whether a tensor over memory of its own (DLPack) lies in that of a traced one."""
        first = tensor.data_ptr()
        held = (memory.weak.cdata for memory in self._memories.values())
        storages = map(torch.UntypedStorage._new_with_weak_ptr, held)
        return any(
            storage is not None and 0 <= first - storage.data_ptr() < storage.nbytes()
            for storage in storages
        )

    def bind(self, tensor: Tensor, node: Node) -> None:
        """Register `node` as the one that gives a tensor that a call returned."""
        key = storage_key(tensor)
        if key is None:
            raise NotImplementedError("a dense tensor")
        memory = self._memories.get(key)
        if memory is None:
            weak = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
            memory = self._memories[key] = Memory(weak, geometry(tensor), node)
        self._enter(tensor, node, memory)

    def write(self, tensor: Tensor, node: Node) -> None:
        """Register `node` as the one that gives a written tensor; its aliases become stale."""
        memory = self._memories[storage_key(tensor) or 0]
        memory.writes.append((geometry(tensor), node))
        self._enter(tensor, node, memory)

    def share(self, tensor: Tensor, twin: Tensor) -> None:
        """Let the storage of `twin` be the same memory as the storage of `tensor`."""
        memory = self._memories[storage_key(tensor) or 0]
        self._memories[storage_key(twin) or 0] = memory

    def forget(self, tensor: Tensor) -> None:
        """Stop following a tensor that was given another, constant memory."""
        self._entries.pop(id(tensor), None)

    def derive(self, tensor: Tensor, source: Tensor) -> Node:
        """Return the node of a view (as_strided) that follows from memory positions alone."""
        source_node = self.node(source)
        entry = self._entries[id(source)]
        node = None
        if source_node is not None:
            node = self._inside(geometry(tensor), geometry(source), source_node)
        if node is not None:
            self._enter(tensor, node, entry.memory)
            return node
        return self._refresh(self._adopt(tensor, entry.memory), tensor)

    def _enter(self, tensor: Tensor, node: Node, memory: Memory) -> Entry:
        key = id(tensor)
        entries = self._entries

        def drop(ref: weakref.ref[Tensor]) -> None:
            held = entries.get(key)
            if held is not None and held.ref is ref:
                del entries[key]

        ref = weakref.ref(tensor, drop)
        entry = Entry(ref, node, memory, len(memory.writes), version(tensor))
        entries[key] = entry
        return entry

    def _adopt(self, tensor: Tensor, memory: Memory) -> Entry:
        """Register a tensor that no call returned as a view of traced memory.

        Raises UnseenWrite if the traced values do not cover all of it.
        """
        node = self._inside(geometry(tensor), memory.origin, memory.node)
        if node is None:
            raise UnseenWrite("is made where the tracer can not see it")
        entry = self._enter(tensor, node, memory)
        entry.seen = 0
        return entry

    def _inside(self, view: Geometry, base: Geometry, node: Node) -> Node | None:
        """Emit a gather of `view` from `node`, which is `base`; None if elements are missing."""
        if view == base:
            return node
        if not view.reads_like(base):
            return None
        index = overlay(view, base)
        count = torch.Size(view.shape).numel()
        if index is None or int(index.min()) < count:
            return None
        return self._emit([node], index - count, TensorMeta(view.shape, view.dtype))

    def _refresh(self, entry: Entry, tensor: Tensor) -> Node:
        memory = entry.memory
        if entry.seen == len(memory.writes):
            if version(tensor) != entry.version:
                raise UnseenWrite("was written where the tracer can not see it")
            return entry.node
        view = geometry(tensor)
        for written, node in memory.writes[entry.seen :]:
            entry.node = self._overwrite(view, entry.node, written, node)
        entry.seen, entry.version = len(memory.writes), version(tensor)
        return entry.node

    def _overwrite(self, view: Geometry, base: Node, written: Geometry, node: Node) -> Node:
        if view == written:
            return node
        if not view.reads_like(written):
            raise UnseenWrite("is read with another dtype or sign than it was written")
        index = overlay(view, written)
        if index is None:
            return base
        count = torch.Size(view.shape).numel()
        meta = TensorMeta(view.shape, view.dtype)
        if int(index.min()) >= count:
            return self._emit([node], index - count, meta)
        return self._emit([base, node], index, meta)
