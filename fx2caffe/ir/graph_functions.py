"""Functions that only traced graphs call: slice assignment and gather in functional form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def setitem(x: Tensor, index: Any, value: Any) -> Tensor:
    """Return a copy of x after `x[index] = value`; x keeps its elements."""
    result = x.clone()
    result[index] = value
    return result


def index_map(tensors: Sequence[Tensor], index: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Gather elements of the flattened, concatenated `tensors` by `index`, reshaped to `shape`."""
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    return flat[index].reshape(shape)


def plain_index(index: Any, owns: Callable[[Tensor], bool]) -> Any:
    """Return the index with constant boolean masks as integer indices, 0-d tensors as ints."""
    parts = index if isinstance(index, tuple) else (index,)
    plain: list[Any] = []
    for part in parts:
        if isinstance(part, list) and part and all(isinstance(v, bool) for v in part):
            part = torch.tensor(part)
        if isinstance(part, slice):
            plain.append(slice(*(_number(v, owns) for v in (part.start, part.stop, part.step))))
        elif isinstance(part, Tensor) and part.dtype in _MASKS and part.ndim and not owns(part):
            plain.extend(part.nonzero(as_tuple=True))
        else:
            plain.append(_number(part, owns))
    return tuple(plain) if isinstance(index, tuple) or len(plain) != 1 else plain[0]


_MASKS = (torch.bool, torch.uint8)


def _number(value: Any, owns: Callable[[Tensor], bool]) -> Any:
    if not isinstance(value, Tensor) or value.ndim or value.dtype == torch.bool or owns(value):
        return value
    return int(value)
