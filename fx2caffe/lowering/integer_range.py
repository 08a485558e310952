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
from fx2caffe.lowering.narrow_integers import NARROW, refuse_cast_operands, refuse_unknown
from fx2caffe.lowering.node_facts import dtype_of, function_name, reduction_of

HALVES = frozenset({torch.float16, torch.bfloat16})
AVERAGES = frozenset(
    {"avg_pool1d", "avg_pool2d", "avg_pool3d", "lp_pool1d", "lp_pool2d", "lp_pool3d"}
)
MASK_SUMS = frozenset({"addr", "diff", "index_add", "scatter_add", "cumsum"})
COMPARISONS = frozenset({torch.eq, torch.ne, torch.lt, torch.le, torch.gt, torch.ge})
# Parameters that functions cast to the dtype of their result.
WRITTEN: Mapping[Any, tuple[str, ...]] = {
    graph_functions.setitem: ("value",), torch.masked_fill: ("value",),
    torch.index_fill: ("value",), torch.fill: ("value",),
    **dict.fromkeys(
        (torch.scatter, torch.select_scatter, torch.slice_scatter, torch.diagonal_scatter),
        ("src",),
    ),
    F.pad: ("value",), torch.constant_pad_nd: ("value",),
    F.threshold: ("threshold", "value"), F.hardtanh: ("min_val", "max_val"),
    torch.clamp: ("min", "max"), torch.clamp_min: ("min",), torch.clamp_max: ("max",),
    **dict.fromkeys(
        (torch.where, torch.maximum, torch.minimum, torch.fmax, torch.fmin, torch.bitwise_and,
         torch.bitwise_or, torch.bitwise_xor, torch.remainder, torch.fmod, torch.floor_divide,
         torch.div),
        ("input", "other"),
    ),
    **dict.fromkeys(
        (torch.addmv, torch.addmm, torch.addr, torch.addbmm, torch.baddbmm), ("beta", "alpha")
    ),
}  # fmt: skip


def refuse_wrapping(node: fx.Node) -> None:
    """Raise Refused for arithmetic that wraps around unseen, and for results that torch rounds.

    Caffe computes in float32: 2 ** -3 is 0.125 there and 0 in int64, and an average of integers
    has a fraction there.
    """
    dtype, name = dtype_of(node), function_name(node)
    if dtype in NARROW:
        refuse_unknown(node, dtype)
    if node.target in COMPARISONS and _compared(node) in NARROW:
        refuse_cast_operands(node, _compared(node))
    whole = _is_whole(dtype) and dtype is not torch.bool
    if whole and node.target is torch.pow and not _gives_integers(*node.args[:2]):
        raise Refused(f"needs powers of floating values, got a result of {dtype}")
    reduction = reduction_of(node)
    if dtype is torch.bool and (name in MASK_SUMS or reduction in ("sum", "mean")):
        raise Refused("needs sums of values, got masks, whose sums are masks again")
    if whole and reduction == "mean":
        raise Refused(f"needs averages of floating values, got {dtype}")
    if name in AVERAGES and _is_whole(_kind(node.args[0])):
        raise Refused(f"needs averages of floating values, got {_kind(node.args[0])}")
    if node.target is graph_functions.setitem and dtype in HALVES and _kind(node.args[2]) != dtype:
        raise Refused(f"needs a written value of {dtype} as well, got {_kind(node.args[2])}")


def cast_written(
    net: Emitter, node: fx.Node, bound: BoundArguments, cast: Callable[..., Symbol]
) -> BoundArguments:
    """Cast the arguments that torch casts to integers or masks, as torch does.

    Python numbers and tensors are cast by torch itself, symbols by `cast`, the handler of
    Tensor.to.
    """
    dtype = _compared(node) if node.target in COMPARISONS else _kind(node)
    names = WRITTEN.get(node.target, ("input", "other") * (node.target in COMPARISONS))
    for name in names if _is_whole(dtype) else ():
        value = bound.arguments.get(name)
        if isinstance(value, Symbol):
            bound.arguments[name] = cast(net, value, dtype)
        elif value is not None:
            bound.arguments[name] = _in_type(value, dtype)
    return bound


def _compared(node: fx.Node) -> torch.dtype:
    """Return the dtype in which torch compares: bytes with 300 as 44."""
    operands = [_example(value) for value in (*node.args, *node.kwargs.values())][:2]
    return torch.result_type(*operands)


def _example(value: Any) -> Any:
    """Return an operand, for its dtype alone; of a node an empty tensor of its rank."""
    if not isinstance(value, fx.Node):
        return value
    kept = value.meta["value"]
    return torch.empty((0,) * len(kept.shape), dtype=kept.dtype)


def _in_type(value: Any, dtype: Any) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) else torch.tensor(value).to(dtype).item()


def _is_whole(dtype: torch.dtype | None) -> bool:
    """Return whether a dtype holds integers or masks."""
    return dtype is not None and not dtype.is_floating_point and not dtype.is_complex


def _gives_integers(base: Any, exponent: Any) -> bool:
    """Return whether a power is of integers by a number, or of a number beyond 1 by counts."""
    if isinstance(exponent, fx.Node):
        return isinstance(base, int) and abs(base) > 1
    return isinstance(exponent, int) and exponent >= 0


def _kind(value: Any) -> Any:
    """Return the dtype of a written value; for a Python number the one that torch infers."""
    if isinstance(value, fx.Node):
        return dtype_of(value)
    return torch.as_tensor(value).dtype
