"""Selections x[mask] by masks that the net computes, up to where they are written back.

Their shape depends on the data, which no blob's does. So the whole of x replaces each of them:
elementwise functions apply to the whole, and a write through the same mask chooses elements.

    y[mask] = x[mask] * 2 + 1    is    y = where(mask, x * 2 + 1, y)
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from fx2caffe.errors import UnsupportedError
from fx2caffe.ir.graph_functions import setitem
from fx2caffe.tracing.functions.canonical import Call, canonical, written
from fx2caffe.tracing.functions.torch_names import METADATA, Function, name_of
from fx2caffe.tracing.recording.dispatch_guard import Guard
from fx2caffe.tracing.recording.graph_builder import GraphBuilder
from fx2caffe.tracing.recording.refusal_log import RefusalLog
from fx2caffe.tracing.values.tensor_meta import TensorMeta, map_tensors, tensors_in

Dispatch = Callable[[Function, tuple[Any, ...], dict[str, Any]], Any]

ONLY = (
    "needs a mask's selection in elementwise functions and in a write through the same mask alone: "
    "its shape depends on the data; torch.where(mask, ...) keeps the shape"
)
_SHAPES = frozenset(
    {"shape", "size", "numel", "nelement", "__len__", "nbytes", "stride", "itemsize", "__repr__"}
)
_COPIES = frozenset({"clone", "contiguous", "detach", "to"})
_SELECTING = frozenset({"__getitem__", "getitem", "masked_select"})


@dataclass
class Selection:
    """Holds the tensor from which a mask selects, and the mask."""

    whole: Tensor
    mask: Tensor
    node: Node  # the mask's


class Selections:
    """Holds the selections alive, each by the tensor that the model holds."""

    def __init__(
        self, builder: GraphBuilder, guard: Guard, log: RefusalLog, readable: bool, run: Dispatch
    ) -> None:
        self._builder, self._guard, self._log = builder, guard, log
        self._readable, self._run = readable, run
        self._found: dict[int, tuple[weakref.ref[Tensor], Selection]] = {}
        self._same: dict[tuple[Node, Node], bool] = {}
        builder.refuse_as_blob = self._refuse_as_blob

    def of(self, tensor: Tensor) -> Selection | None:
        """Return the selection that a tensor is; None for one that is no selection."""
        reference, selection = self._found.get(id(tensor), (None, None))
        return selection if reference is not None and reference() is tensor else None

    def _refuse_as_blob(self, tensor: Tensor) -> None:
        if self.of(tensor) is not None:
            self._log.refuse("index", ONLY)

    def concern(self, func: Function, name: str, args: Any, kwargs: Any) -> bool:
        """Return whether a call makes a selection or has one among its arguments."""
        if self._found and any(
            self.of(tensor) is not None for tensor in tensors_in((args, kwargs))
        ):
            return True
        return name in _SELECTING and self._selected(canonical(func, args, kwargs)) is not None

    def call(self, func: Function, args: Any, kwargs: Any) -> Any:
        """Record a call that concerns selections and return its result; refuse most functions.

        With real values the run goes on after a refusal and finds all, unless the call writes.
        """
        try:
            return self._recorded(func, args, kwargs)
        except UnsupportedError:
            if not self._readable or written(func, args, kwargs):
                raise
            return self._unrecorded(func, args, kwargs)

    def _unrecorded(self, func: Function, args: Any, kwargs: Any) -> Any:
        """Run a refused call; what reads its result is not refused besides."""
        found = [s for tensor in tensors_in((args, kwargs)) if (s := self.of(tensor)) is not None]
        with self._guard.suspended():
            result = func(*args, **kwargs)
        for tensor in tensors_in(result):
            self._bind_refused(tensor, found[0].whole, found[0].node)
        return result

    def _bind_refused(self, tensor: Tensor, base: Tensor, mask: Node) -> None:
        """Let a tensor's memory count as traced, by a node that the lowering refuses."""
        meta = TensorMeta(tuple(tensor.shape), tensor.dtype)
        inputs: tuple[Any, Any] = ((self._builder.node(base), mask), {})
        self._builder.bind(tensor, self._builder.emit(operator.getitem, inputs, meta))

    def _recorded(self, func: Function, args: Any, kwargs: Any) -> Any:
        owner, name = name_of(func)
        if name in METADATA or owner == "get":
            return self._metadata(func, owner, name, args, kwargs)
        call = canonical(func, args, kwargs)
        parts = self._selected(call)
        if parts is not None and self.of(parts[0]) is None:
            return self._select(*parts)
        if self._is_write(call):
            return self._write(name, call, args)
        if not is_elementwise(name_of(call.target).name):
            self._log.refuse(name, ONLY)
        return self._elementwise(func, call, args, kwargs)

    def _metadata(self, func: Function, owner: str, name: str, args: Any, kwargs: Any) -> Any:
        if name in _SHAPES or (owner == "get" and name not in METADATA and name in ("data", "T")):
            self._log.refuse(name, ONLY)
        return func(*args, **kwargs)

    # Selecting

    def _selected(self, call: Call) -> tuple[Tensor, Tensor] | None:
        """Return the base and the mask of a call that selects by a mask that the net computes."""
        if call.target is not operator.getitem and call.target is not torch.masked_select:
            return None
        if len(call.args) < 2 or not isinstance(call.args[0], Tensor):
            return None
        base, mask = call.args[0], _one_mask(call.args[1])
        if mask is None or not self._builder.table.owns(mask):
            return None
        if call.target is torch.masked_select and mask.shape != base.shape:
            return None
        return (base, mask) if base.shape[: mask.dim()] == mask.shape else None

    def _select(self, base: Tensor, mask: Tensor) -> Tensor:
        node = self._builder.node(mask)
        whole = self._run(Tensor.clone, (base,), {})
        with self._guard.suspended():
            kept = mask.clone()
            made = self._elements(whole, kept)
        self._bind_refused(made, base, node)
        return self._held(made, Selection(whole, kept, node))

    def _elements(self, whole: Tensor, mask: Tensor) -> Tensor:
        """Return the selected elements; without data, a tensor of the shape for all of them."""
        if self._readable:
            return whole.detach()[mask]
        shape = (mask.numel(), *whole.shape[mask.dim() :])
        return torch.empty(shape, dtype=whole.dtype, device="meta")

    def _held(self, tensor: Tensor, selection: Selection) -> Tensor:
        key = id(tensor)
        self._found[key] = (weakref.ref(tensor, lambda _: self._found.pop(key, None)), selection)
        return tensor

    # Elementwise functions

    def _elementwise(self, func: Function, call: Call, args: Any, kwargs: Any) -> Any:
        first = self._check_operands(call)
        with self._guard.suspended():
            result = func(*args, **kwargs)
        targets = written(func, args, kwargs)
        if not isinstance(result, Tensor) or any(self.of(target) is None for target in targets):
            self._log.refuse(name_of(func).name, ONLY)
        if not targets and self.of(result) is not None:
            return result  # x.to(its own dtype) is x
        whole = self._on_wholes(call)
        if whole.dtype != result.dtype:
            whole = self._run(Tensor.to, (whole, result.dtype), {})
        self._check_same(func, whole, first.mask, result)
        if targets:
            held = self.of(result)
            assert held is not None
            held.whole = whole
            return result
        if name_of(call.target).name == "detach":  # writes into either are seen by both
            return self._held(result, first)
        return self._held(result, Selection(whole, first.mask, first.node))

    def _on_wholes(self, call: Call) -> Tensor:
        def whole(tensor: Tensor) -> Tensor:
            found = self.of(tensor)
            return tensor if found is None else found.whole

        args, kwargs = map_tensors((call.args, call.kwargs), whole)
        result: Tensor = self._run(call.target, args, kwargs)
        return result

    def _check_operands(self, call: Call) -> Selection:
        """Refuse operands that are not the same for every selected element; return a selection."""
        operands = tensors_in((call.args, call.kwargs))
        found = [selection for t in operands if (selection := self.of(t)) is not None]
        behind = max(s.whole.dim() - s.mask.dim() for s in found)
        for tensor in operands:
            if self.of(tensor) is None and not _broadcasts(tensor, behind):
                self._log.refuse(name_of(call.target).name, ONLY)
        if any(not self._same_value(found[0].node, one.node) for one in found[1:]):
            self._log.refuse(name_of(call.target).name, ONLY)
        return found[0]

    def _check_same(self, func: Function, whole: Tensor, mask: Tensor, result: Tensor) -> None:
        """Refuse a function that gives other elements where it is applied to the whole."""
        if whole.shape[: mask.dim()] != mask.shape:
            self._log.refuse(name_of(func).name, ONLY)
        if not self._readable:
            return
        with self._guard.suspended():
            mine, theirs = whole.detach()[mask].double(), result.detach().double()
            same = mine.shape == theirs.shape and torch.allclose(mine, theirs, equal_nan=True)
        if not same:
            self._log.refuse(name_of(func).name, ONLY)

    # Writing back

    def _is_write(self, call: Call) -> bool:
        return call.target in (setitem, torch.index_put, torch.masked_scatter)

    def _write(self, name: str, call: Call, args: Any) -> Any:
        target, index, value = call.args[:3]
        mask = _one_mask(index)
        chosen = self.of(value) if isinstance(value, Tensor) else None
        accumulates = any(call.args[3:]) or any(call.kwargs.values())
        if mask is None or chosen is None or self.of(target) is not None or accumulates:
            self._log.refuse(name, ONLY)
        same = self._builder.table.owns(mask) and self._same_value(
            self._builder.node(mask), chosen.node
        )
        if not same or chosen.whole.dim() != target.dim() or not self._fits(call, chosen, target):
            self._log.refuse(name, ONLY)
        shape = (*mask.shape, *(1 for _ in range(target.dim() - mask.dim())))
        where = self._run(torch.reshape, (mask, shape), {})
        whole = self._run(Tensor.to, (chosen.whole, target.dtype), {})
        new = self._run(torch.where, (where, whole, target), {})
        if call.target is setitem or name.endswith("_"):
            self._run(Tensor.copy_, (target, new), {})
            return None if call.target is setitem else target
        return new

    def _fits(self, call: Call, chosen: Selection, target: Tensor) -> bool:
        """Return whether a write takes a row of the whole for each row of the target."""
        if call.target is torch.masked_scatter:  # counts elements, whatever their shape
            return chosen.mask.shape == chosen.whole.shape == target.shape
        pairs = zip(chosen.whole.shape, target.shape, strict=True)
        return all(mine in (1, theirs) for mine, theirs in pairs)

    def _same_value(self, one: Node, two: Node) -> bool:
        """Return whether two nodes are one function of the same values, as `x > 0` twice is."""
        if one is two:
            return True
        if (one, two) not in self._same:
            alike = one.op == two.op and one.target == two.target
            pure = one.op in ("call_function", "get_attr")
            self._same[one, two] = (
                alike
                and pure
                and self._same_arguments((one.args, one.kwargs), (two.args, two.kwargs))
            )
        return self._same[one, two]

    def _same_arguments(self, one: Any, two: Any) -> bool:
        if isinstance(one, Node) and isinstance(two, Node):
            return self._same_value(one, two)
        if type(one) is not type(two):
            return False
        if isinstance(one, slice):
            return self._same_arguments(
                (one.start, one.stop, one.step), (two.start, two.stop, two.step)
            )
        if isinstance(one, tuple | list):
            return len(one) == len(two) and all(map(self._same_arguments, one, two))
        if isinstance(one, dict):
            return list(one) == list(two) and self._same_arguments([*one.values()], [*two.values()])
        return bool(one == two)


def _one_mask(index: Any) -> Tensor | None:
    """Return the mask of an index that is nothing but one mask."""
    if isinstance(index, tuple | list) and len(index) == 1:
        index = index[0]
    masks = isinstance(index, Tensor) and index.dtype is torch.bool and index.dim() > 0
    return index if masks else None


def _broadcasts(tensor: Tensor, behind: int) -> bool:
    """Return whether a tensor is the same for each row of a selection of rank 1 + `behind`."""
    leading = tensor.shape[: max(0, tensor.dim() - behind)]
    return tensor.dim() <= behind + 1 and all(size == 1 for size in leading)


@cache
def is_elementwise(name: str) -> bool:
    """Return whether each element of a function's result follows from those at its index."""
    packet = getattr(torch.ops.aten, name, None)
    if name in _COPIES:
        return True
    overloads = [] if packet is None else [getattr(packet, one) for one in packet.overloads()]
    return any(torch.Tag.pointwise in overload.tags for overload in overloads)
