"""Integers of one or two bytes: the layers compute them exactly, and wrap results out of range.

The sums, products and casts of integers are torch's modulo 2^8 or 2^16, in whatever order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from caffe2fx.layers import Power
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.lowering.float_bounds import bounds
from fx2caffe.lowering.integer_magnitudes import ELEMENTS, LARGEST, SUMS
from fx2caffe.lowering.node_facts import accumulates, dtype_of, function_name

NARROW = frozenset({torch.uint8, torch.int8, torch.int16})
# The results are elements of the operands, or no larger than the operands.
_STAYS = (ELEMENTS - {"abs", "neg", "interpolate"}) | frozenset(
    """any all bitwise_and bitwise_or bitwise_xor bitwise_not bitwise_right_shift remainder fmod
    sign sgn clamp clamp_min clamp_max max min median nanmedian msort fliplr flipud hardtanh
    _threshold heaviside cartesian_prod diagonal_scatter scatter_reduce index_reduce""".split()  # noqa: SIM905
)
_PICKS = frozenset({"nearest", "nearest-exact"})  # modes of interpolate
# Functions that cast a tensor of any rank and dtype, and where others take indices.
_CASTS = frozenset({"setitem", "fill", "select_scatter", "slice_scatter", "diagonal_scatter"})
_INDEX_AT = {
    "setitem": 1,
    "index_put": 1,
    **dict.fromkeys(("scatter", "scatter_reduce", "index_copy", "index_fill", "index_reduce"), 2),
}
_WRAPS = SUMS | {"neg", "abs", "diff", "floor_divide", "div"}
_BELOW_ZERO = frozenset({"sub", "neg", "diff"})


def refuse_unknown(node: fx.Node, dtype: torch.dtype) -> None:
    """Raise Refused for a function of which is not known how narrow integers leave it."""
    name, sources = function_name(node), node.all_input_nodes
    if accumulates(node):
        known = False
    elif name == "to" and _is_floating(sources[0]):
        known = _lies_in(bounds(sources[0]), dtype)
    elif name == "to" or name in _WRAPS:
        known = not any(map(_is_floating, sources))
    elif name == "interpolate":
        known = not _PICKS.isdisjoint(map(str, node.args)) or node.kwargs.get("mode") in _PICKS
    else:
        known = name in _STAYS
    if not known:
        raise Refused(f"needs results that do not wrap around, got {dtype}")
    if name in _STAYS:
        refuse_cast_operands(node, dtype)


def refuse_cast_operands(node: fx.Node, dtype: torch.dtype) -> None:
    """Raise Refused if torch casts a computed operand to `dtype`, for which no layer is made.

    An operand with axes and of another dtype holds indices, else its dtype were the result's.
    """
    name = function_name(node)
    for position, argument in enumerate((*node.args, *node.kwargs.values())):
        found: list[fx.Node] = []
        fx.node.map_arg(argument, found.append)
        for one in found if position != _INDEX_AT.get(name) else ():
            is_cast = name in _CASTS or _is_scalar(one)
            if one.op != "get_attr" and is_cast and dtype_of(one) not in (dtype, torch.bool):
                raise Refused(f"needs operands of {dtype} alike, got {dtype_of(one)}: cast them")


def _is_scalar(node: fx.Node) -> bool:
    return getattr(node.meta.get("value"), "shape", None) == ()


def _is_floating(node: fx.Node) -> bool:
    kind = dtype_of(node)
    return kind is None or kind.is_floating_point or kind.is_complex


def _lies_in(ends: tuple[float, float], dtype: torch.dtype) -> bool:
    """Return whether values between two ends fit a dtype once they are truncated."""
    limits = torch.iinfo(dtype)
    return limits.min - 1 < ends[0] and ends[1] < limits.max + 1


def wrapped(
    net: Emitter,
    node: fx.Node,
    result: Symbol,
    magnitude: float,
    remainder: Callable[..., Symbol],
) -> Symbol:
    """Return the result as torch wraps it, by the handler of torch.remainder.

    `magnitude` bounds the elements of the result before they wrap.
    """
    dtype = node.meta["value"].dtype
    if not _leaves(node, dtype, magnitude):
        return result
    limits = torch.iinfo(dtype)
    if magnitude > LARGEST + limits.min and function_name(node) != "to":
        raise Refused(f"needs results up to 2^24 before they wrap around, got {magnitude:.9g}")
    count = 2.0**limits.bits
    if not limits.min:
        return remainder(net, result, count)
    shifted = net.add(Power(shift=-float(limits.min)), result, suffix="wrapped/shifted")
    name, origin = net.scope
    with net.at(f"{name}/wrapped", origin):
        inner = remainder(net, shifted, count)
    return net.add(Power(shift=float(limits.min)), inner)


def _leaves(node: fx.Node, dtype: torch.dtype, magnitude: float) -> bool:
    """Return whether results may lie outside the dtype."""
    name = function_name(node)
    if name == "to":
        source = node.args[0]
        assert isinstance(source, fx.Node)
        return not _is_floating(source) and dtype_of(source) not in (dtype, torch.bool)
    if name not in _WRAPS or (name in ("floor_divide", "div") and _shrinks(node.args[1])):
        return False
    below = dtype is torch.uint8 and (name in _BELOW_ZERO or _has_negative(node))
    return below or magnitude > torch.iinfo(dtype).max


def _shrinks(divisor: Any) -> bool:
    return isinstance(divisor, int) and divisor != -1


def _has_negative(node: fx.Node) -> bool:
    found: list[Any] = []
    fx.node.map_aggregate((node.args, node.kwargs), found.append)
    return any(isinstance(value, int | float) and value < 0 for value in found)
