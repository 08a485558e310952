"""Bounds of the results of functions whose floating values have a least and a largest."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import fx

from fx2caffe.lowering.node_facts import function_name

Ends = tuple[float, float]
ANY: Ends = (-math.inf, math.inf)
_RANGES: Mapping[str, Ends] = {
    "sigmoid": (0, 1), "softmax": (0, 1), "hardsigmoid": (0, 1), "tanh": (-1, 1), "relu6": (0, 6),
}  # fmt: skip
_ROUNDING: Mapping[str, Callable[[float], float]] = {
    "round": round, "floor": math.floor, "ceil": math.ceil, "trunc": math.trunc,
}  # fmt: skip
_ARITHMETIC: Mapping[str, Callable[[float, float], float]] = {
    "mul": lambda end, number: end * number,
    "add": lambda end, number: end + number,
    "sub": lambda end, number: end - number,
    "div": lambda end, number: end / number,
}


def bounds(node: Any) -> Ends:
    """Return two ends between which all elements of a node lie; infinite if none are known."""
    if not isinstance(node, fx.Node) or node.op != "call_function":
        return ANY
    name = function_name(node)
    numbers = [v for v in (*node.args[1:], *node.kwargs.values()) if isinstance(v, int | float)]
    if name in _RANGES:
        return _RANGES[name]
    if name in ("clamp", "hardtanh") and len(numbers) >= 2:
        return min(numbers[:2]), max(numbers[:2])
    source = bounds(node.args[0]) if node.args else ANY
    if name in _ROUNDING and not numbers and source != ANY:
        return _ROUNDING[name](source[0]), _ROUNDING[name](source[1])
    by_number = len(node.args) == 2 and len(numbers) == 1 and not node.kwargs
    if name in _ARITHMETIC and by_number and source != ANY:
        ends = [_ARITHMETIC[name](end, numbers[0]) for end in source if numbers[0]]
        return (min(ends), max(ends)) if ends else ANY
    return ANY
