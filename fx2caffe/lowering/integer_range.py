"""Refusals of integer arithmetic that float32 does not repeat: wrapping, truncation, rounding.

Values that are written into integer tensors are cast here, as torch casts them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import BoundArguments
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from fx2caffe.ir import graph_functions
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Refused, Symbol

NARROW = frozenset({torch.uint8, torch.int8, torch.int16})
HALVES = frozenset({torch.float16, torch.bfloat16})
AVERAGES = frozenset(
    {"avg_pool1d", "avg_pool2d", "avg_pool3d", "lp_pool1d", "lp_pool2d", "lp_pool3d"}
)
MASK_SUMS = frozenset(
    {"addr", "diff", "index_add", "scatter_add", "scatter_reduce", "index_reduce", "cumsum"}
)
# Parameters that functions cast to the dtype of their result.
WRITTEN: Mapping[Any, tuple[str, ...]] = {
    graph_functions.setitem: ("value",), torch.masked_fill: ("value",),
    torch.index_fill: ("value",), torch.fill: ("value",), torch.scatter: ("src",),
    F.pad: ("value",), torch.constant_pad_nd: ("value",),
    F.threshold: ("threshold", "value"), F.hardtanh: ("min_val", "max_val"),
    **dict.fromkeys(
        (torch.addmv, torch.addmm, torch.addr, torch.addbmm, torch.baddbmm), ("beta", "alpha")
    ),
}  # fmt: skip
# These only move elements, so that none leaves its dtype's range.
MOVES = frozenset(
    """any all getitem reshape flatten unflatten permute transpose movedim cat stack chunk split
    tensor_split unbind squeeze unsqueeze narrow select flip roll expand broadcast_to repeat tile
    index_select relu max_pool2d where masked_fill maximum minimum fmax fmin bitwise_and bitwise_or
    bitwise_xor bitwise_right_shift""".split()  # noqa: SIM905
)


def refuse_wrapping(node: fx.Node) -> None:
    """Raise Refused for integer arithmetic that wraps around, and for writes that round.

    Caffe computes in float32: 200 + 100 is 300 there and 44 in uint8, 2 ** -3 is 0.125 there and
    0 in int64, and 0.7 written into an integer tensor stays 0.7 there.
    """
    dtype = getattr(node.meta.get("value"), "dtype", None)
    name = getattr(node.target, "__name__", "")
    if dtype in NARROW and name not in MOVES and not _is_mask(node):
        raise Refused(f"needs results that do not wrap around, got {dtype}")
    whole = dtype is not None and not dtype.is_floating_point and dtype is not torch.bool
    if whole and node.target is torch.pow and not _is_count(node.args[1]):
        raise Refused(f"needs powers of floating values, got a result of {dtype}")
    if dtype is torch.bool and (name in MASK_SUMS or _adds(node)):
        raise Refused("needs sums of values, got masks, whose sums are masks again")
    if name in AVERAGES and _is_whole(_kind(node.args[0])):
        raise Refused(f"needs averages of floating values, got {_kind(node.args[0])}")
    if node.target is graph_functions.setitem and dtype in HALVES and _kind(node.args[2]) != dtype:
        raise Refused(f"needs a written value of {dtype} as well, got {_kind(node.args[2])}")


def cast_written(
    net: Emitter, node: fx.Node, bound: BoundArguments, cast: Callable[..., Symbol]
) -> BoundArguments:
    """Cast the arguments that torch casts to an integer or mask result, as torch does.

    Python numbers and tensors are cast by torch itself, symbols by `cast`, the handler of
    Tensor.to.
    """
    dtype = getattr(node.meta.get("value"), "dtype", None)
    for name in WRITTEN.get(node.target, ()) if _is_whole(dtype) else ():
        value = bound.arguments.get(name)
        if isinstance(value, Symbol):
            bound.arguments[name] = cast(net, value, dtype)
        elif value is not None:
            bound.arguments[name] = _in_type(value, dtype)
    return bound


def _in_type(value: Any, dtype: Any) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) else torch.tensor(value).to(dtype).item()


def _is_whole(dtype: torch.dtype | None) -> bool:
    """Return whether a dtype holds integers or masks."""
    return dtype is not None and not dtype.is_floating_point and not dtype.is_complex


def _adds(node: fx.Node) -> bool:
    """Return whether a write adds to, or multiplies, the elements that it writes to."""
    return node.kwargs.get("reduce") is not None or node.kwargs.get("accumulate") is True


def _is_mask(node: fx.Node) -> bool:
    """Return whether a node casts a mask, whose 0 and 1 every dtype holds."""
    return node.target is Tensor.to and _kind(node.args[0]) is torch.bool


def _is_count(exponent: Any) -> bool:
    """Return whether an exponent gives integers for integer bases."""
    return isinstance(exponent, int) and exponent >= 0


def _kind(value: Any) -> Any:
    """Return the dtype of a written value; for a Python number the one that torch infers."""
    if isinstance(value, fx.Node):
        return getattr(value.meta.get("value"), "dtype", None)
    return torch.as_tensor(value).dtype
