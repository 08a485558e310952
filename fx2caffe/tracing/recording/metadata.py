"""Metadata of traced tensors: shapes, dtypes and devices are plain Python to the model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fx2caffe.tracing.functions.torch_names import Function, name_of
from fx2caffe.tracing.recording.dispatch_guard import Guard
from fx2caffe.tracing.recording.size_use import SIZELESS, SizeUse
from fx2caffe.tracing.values.aliasing import Table
from fx2caffe.tracing.values.tensor_meta import tensors_in
from fx2caffe.tracing.values.value_modes import Values


class Metadata:
    """Answers what the model asks of a tensor without reading its data."""

    def __init__(self, table: Table, guard: Guard, values: Values, sizes: SizeUse) -> None:
        self._table, self._guard, self._values, self._sizes = table, guard, values, sizes

    def of(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what the call gives; where values are fake, what it gives on their real device."""
        owner, name = name_of(func)
        if name not in SIZELESS and any(map(self._table.owns, tensors_in((args, kwargs)))):
            self._sizes.are_asked = True
        if not self._values.readable:
            return self._on_device(func, owner, name, args, kwargs)
        if isinstance(func, torch._ops.OpOverload):  # an assertion of torch.export's
            with self._guard.calling(None):
                return func(*args, **kwargs)
        return func(*args, **kwargs)

    def _on_device(
        self, func: Function, owner: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if owner == "get" and isinstance(args[0], Tensor):
            device = self._values.device(args[0])
            if name == "device":
                return device
            if name in ("is_meta", "is_cpu", "is_cuda"):
                return f"is_{device.type}" == name
        if name == "type":
            device = self._values.device(args[0])
            return torch.empty(0, dtype=args[0].dtype, device=device).type()
        if isinstance(func, torch._ops.OpOverload):
            return None
        return func(*args, **kwargs)
