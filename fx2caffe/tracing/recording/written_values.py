"""Written values: in-place calls become functional ones whose results are the new values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from fx2caffe.ir.graph_functions import setitem
from fx2caffe.tracing.functions.canonical import Call
from fx2caffe.tracing.functions.torch_names import RESHAPED, name_of
from fx2caffe.tracing.recording.dispatch_guard import Guard
from fx2caffe.tracing.recording.graph_builder import GraphBuilder
from fx2caffe.tracing.values.aliasing import overlaps_itself, shared_alike
from fx2caffe.tracing.values.tensor_meta import TensorMeta, map_tensors, meta_of


class WrittenValues:
    """Makes the nodes of the values that a writing call leaves in its targets."""

    def __init__(self, builder: GraphBuilder, guard: Guard) -> None:
        self._builder, self._guard = builder, guard

    def is_definite(self, name: str, call: Call, targets: list[Tensor]) -> bool:
        """Return whether a call writes one value to each memory position of its targets.

        In memory that overlaps itself (expand, unfold) a fill does, and a copy of elements that
        share their memory wherever those of the target do. torch refuses some of these itself.
        """
        with self._guard.calling(None):
            torn = [target for target in targets if overlaps_itself(target)]
            if not torn or name in ("zero_", "fill_"):
                return True
            source = _written_by(call.args, call.kwargs) if name == "copy_" else None
            return isinstance(source, Tensor) and shared_alike(torn[0], source)

    def nodes_of(
        self, name: str, call: Call, inputs: Any, likes: list[TensorMeta], targets: list[Tensor]
    ) -> Callable[[list[Tensor]], list[Node]]:
        """Return a function that makes the nodes of the targets' new values after the call."""
        builder = self._builder
        if name in ("copy_", "zero_", "fill_"):
            fill = 0 if name == "zero_" else _written_by(call.args, call.kwargs)
            if isinstance(fill, Tensor):
                source = _written_by(*inputs)
                return lambda _: [builder.cast(source, meta_of(fill), likes[0])]
            return lambda _: [builder.filled(likes[0], fill, targets[0])]
        if name in RESHAPED:
            return lambda now: [builder.emit(call.target, inputs, meta_of(now[0]))]
        if call.target is setitem:
            return lambda _: [builder.emit(setitem, inputs, likes[0])]
        return lambda now: self._functional_values(call, inputs, now)

    def _functional_values(self, call: Call, inputs: Any, targets: list[Tensor]) -> list[Node]:
        metas = self._meta_result(call, targets)
        node = self._builder.emit(call.target, inputs, metas)
        if isinstance(metas, TensorMeta):
            return [self._builder.cast(node, metas, meta_of(targets[0]))]
        parts = [self._builder.item(node, i, meta) for i, meta in enumerate(metas)]
        return [
            self._builder.cast(part, meta, meta_of(target))
            for part, meta, target in zip(parts, metas, targets, strict=True)
        ]

    def _meta_result(self, call: Call, targets: list[Tensor]) -> Any:
        """Return the shapes and dtypes of the functional form's results."""
        if name_of(call.target).owner == "F":
            return meta_of(targets[0])
        with self._guard.calling(None):
            args, kwargs = map_tensors((call.args, call.kwargs), _without_memory)
            return meta_of(call.target(*args, **kwargs))


def _written_by(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the value that copy_ or fill_ writes, given by position or by name."""
    return args[1] if len(args) > 1 else kwargs.get("value", kwargs.get("other"))


def _without_memory(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
