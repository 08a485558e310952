"""Bounds of the integers in a graph: float32 holds them exactly up to 2^24.

A magnitude is the largest absolute value that a node's elements can have, as far as dtypes, the
ranges of the inputs and the functions bound it; it is infinite where they do not. Functions
that only add and multiply are run on magnitudes themselves, which bounds partial sums as well.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from math import inf, isinf
from typing import Any

import torch
from torch import Tensor, fx

from caffe2fx.errors import CaffeError
from fx2caffe.ir.symbol import Refused
from fx2caffe.lowering.node_facts import dtype_of, function_name

LARGEST = 1 << 24
Ranges = Mapping[str, tuple[float, float]]

_BY_DTYPE = {torch.bool: 1, torch.uint8: 255, torch.int8: 128, torch.int16: 1 << 15}

# Sums of products of the elements; `sub`, the only difference, is computed as a sum.
SUMS = frozenset(
    """add sub mul square pow prod cumprod sum nansum cumsum matmul mm bmm mv dot vdot outer inner
    kron einsum addmm addmv addbmm baddbmm addr addcmul linear bilinear tensordot trace conv1d
    conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d index_add scatter_add
    linalg_multi_dot chain_matmul matrix_power linalg_matrix_power linalg_vecdot
    bitwise_left_shift""".split()  # noqa: SIM905
)
# Each element of the result is an operand's element or a Python number of the arguments.
ELEMENTS = frozenset(
    """getitem reshape flatten unflatten permute transpose movedim cat stack chunk split
    split_with_sizes tensor_split hsplit vsplit dsplit unbind squeeze unsqueeze narrow select flip
    roll rot90 tile repeat repeat_interleave expand broadcast_to index_select gather take
    take_along_dim diagonal diag tril triu unfold where masked_fill maximum minimum fmax fmin amax
    amin aminmax relu relu6 max_pool1d max_pool2d max_pool3d abs neg setitem index_map index_fill
    index_copy index_put scatter select_scatter slice_scatter masked_scatter pad fill hstack vstack
    dstack column_stack meshgrid broadcast_tensors slice_copy floor_divide bitwise_right_shift
    floor ceil round trunc copysign embedding atleast_1d atleast_2d atleast_3d block_diag
    nan_to_num interpolate pixel_shuffle pixel_unshuffle channel_shuffle movedim adjoint sample_map
    """.split()  # noqa: SIM905
)
# Besides elements, Python numbers of the arguments are written.
WRITES = frozenset(
    """masked_fill where setitem index_fill scatter pad fill maximum minimum""".split()  # noqa: SIM905
)
# Functions that return indices into an operand; and those that return elements of it besides.
_POSITIONS = frozenset(
    "argmax argmin argsort count_nonzero bucketize searchsorted".split()  # noqa: SIM905
)
_SORTS = frozenset(
    """sort topk max min kthvalue median cummax cummin msort max_pool1d_with_indices
    max_pool2d_with_indices""".split()  # noqa: SIM905
)
# Divisions that are exact for operands up to 2^24, whose results give no bound of the operands.
_DIVISIONS = frozenset(
    "div floor_divide remainder fmod bitwise_right_shift".split()  # noqa: SIM905
)
_ONES = frozenset("one_hot sign sgn heaviside signbit isin".split())  # noqa: SIM905


class IntegerRanges:
    """Bounds the integers of a traced graph, by its example where they are infinite."""

    def __init__(
        self,
        module: fx.GraphModule,
        example: Sequence[Tensor],
        names: Mapping[str, str],
        ranges: Ranges | None = None,
    ) -> None:
        """Analyse a graph; `names` are the inputs' blob names by node, the keys of `ranges`."""
        self._module, self._names = module, names
        inputs = [node for node in module.graph.nodes if node.op == "placeholder"]
        self._example = dict(zip(inputs, example, strict=True))
        self._ranges = ranges or {}
        self._checked_ranges()
        from_example = {node: _largest(v) for node, v in self._example.items() if _is_integer(node)}
        self._likely, _ = self._magnitudes({**self._promised(), **from_example})
        self._known, self._exact = self._magnitudes(self._promised())
        judged = dict.fromkeys(n for node in module.graph.nodes for n in _judged(node))
        self._seen = self._observed([node for node in judged if isinf(self._known[node])])

    def _promised(self) -> dict[fx.Node, float]:
        """Return the magnitudes of the inputs by their ranges, or by their dtypes."""
        found = {n: _BY_DTYPE.get(n.meta["value"].dtype, inf) for n in self._example}
        by_name = {self._names[node.name]: node for node in self._example}
        ranges = {by_name[name]: max(map(abs, ends)) for name, ends in self._ranges.items()}
        return {**found, **ranges}

    def _magnitudes(
        self, inputs: Mapping[fx.Node, float]
    ) -> tuple[dict[fx.Node, float], dict[fx.Node, float]]:
        """Return the magnitudes, and those that the functions had if no dtype wrapped."""
        found: dict[fx.Node, float] = {}
        exact: dict[fx.Node, float] = {}
        for node in self._module.graph.nodes:
            dtype = getattr(node.meta.get("value"), "dtype", torch.float32)
            exact[node] = self._magnitude(node, inputs, found)
            found[node] = min(exact[node], _BY_DTYPE.get(dtype, inf))
        return found, exact

    def before_wrapping(self, node: fx.Node) -> float:
        """Return the magnitude of what a function computes, whatever its dtype holds."""
        return self._exact[node]

    def _checked_ranges(self) -> None:
        known = {self._names[node.name]: value for node, value in self._example.items()}
        for name, (low, high) in self._ranges.items():
            if name not in known:
                raise CaffeError(f"input_ranges needs names of {list(known)}, got {name!r}")
            value = known[name]
            if not low <= high or bool(((value < low) | (value > high)).any()):
                got = f"{value.min().item():g} to {value.max().item():g}"
                raise CaffeError(f"input_ranges of {name} needs to hold its example, got {got}")

    def check(self, node: fx.Node) -> None:
        """Raise Refused where a node's integers exceed 2^24; warn where they may."""
        if node.op == "placeholder" and _is_integer(node):
            self._check_input(node)
        for judged in _judged(node):
            self._check_magnitude(judged)

    def _check_magnitude(self, node: fx.Node) -> None:
        magnitude = self._exact[node] if _sums(node) else self._known[node]
        if isinf(magnitude):
            self._check_seen(node)
        elif magnitude > LARGEST:
            raise Refused(f"{_NEEDS}, got up to {magnitude:.9g} by the ranges of its inputs; {_OR}")

    def _check_input(self, node: fx.Node) -> None:
        largest = _largest(self._example[node])
        known = self._known[node]
        if largest > LARGEST or (known > LARGEST and not isinf(known)):
            raise Refused(f"{_NEEDS}, got up to {max(largest, 0 if isinf(known) else known):.9g}")

    def _check_seen(self, node: fx.Node) -> None:
        found, likely = self._seen.get(node, 0.0), self._likely[node]
        if found > LARGEST:
            raise Refused(f"{_NEEDS}, got up to {found:.9g} on the example inputs; {_OR}")
        if LARGEST < likely < inf:
            warning = f"{node.name} may give integers beyond 2^24, which a net in float32 rounds"
            warnings.warn(f"{warning}: give input_ranges for a verdict", stacklevel=2)

    def _magnitude(
        self, node: fx.Node, inputs: Mapping[fx.Node, float], found: Mapping[fx.Node, float]
    ) -> float:
        if node.op == "placeholder":
            return inputs[node]
        dtype = getattr(node.meta.get("value"), "dtype", torch.float32)
        if node.op == "get_attr":
            return inf if dtype.is_floating_point else _largest(self._constant(node))
        return self._of_function(node, found) if node.op == "call_function" else inf

    def _of_function(self, node: fx.Node, found: Mapping[fx.Node, float]) -> float:
        name = function_name(node)
        sources = [found[source] for source in node.all_input_nodes]
        if name in SUMS:
            filled = partial(self._filled, found)
            return self._run(node, filled) if _is_integer(node) else inf
        if name in _ONES:
            return 1
        if name == "bitwise_and" and (bits := _counts(node)):
            return min(bits)
        if name in _POSITIONS:
            return max(_count(source) for source in node.all_input_nodes)
        if name in ELEMENTS:
            written = _constants(node) if name in WRITES else []
            return max(0.0, *sources, *written)
        if name in _SORTS:
            return max(0, *sources, *(_count(source) for source in node.all_input_nodes))
        return float(_RULES[name](sources, _constants(node))) if name in _RULES else inf

    def _constant(self, node: fx.Node) -> Tensor:
        found: Tensor = operator.attrgetter(str(node.target))(self._module)
        return found

    def _filled(self, found: Mapping[fx.Node, float], node: fx.Node) -> Tensor:
        if node.op == "get_attr":
            return self._constant(node).double().abs()
        return torch.full(tuple(node.meta["value"].shape), found[node], dtype=torch.float64)

    def _run(self, node: fx.Node, made: Callable[[fx.Node], Tensor]) -> float:
        """Return the largest element that a function gives for operands of these magnitudes."""
        if any(not hasattr(s.meta.get("value"), "shape") for s in node.all_input_nodes):
            return inf
        operands: dict[fx.Node, Tensor] = {s: made(s) for s in node.all_input_nodes}
        if any(bool(operand.isinf().any()) for operand in operands.values()):
            return inf
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), operands.__getitem__)
        args, kwargs = _positive(function_name(node), args, kwargs)
        function: Any = _AS_SUMS.get(function_name(node), node.target)
        try:
            result: Tensor = function(*args, **kwargs)
        except (RuntimeError, TypeError, ValueError):
            return inf
        return float(result.max()) if isinstance(result, Tensor) and result.numel() else inf

    def _observed(self, nodes: Sequence[fx.Node]) -> dict[fx.Node, float]:
        """Return each node's largest magnitude on the example; of sums that of partial ones too."""
        values = self._values(_ancestors(nodes).union(nodes)) if nodes else {}
        seen = {
            node: self._run(node, lambda s: values[s].double().abs())
            if _sums(node)
            else _largest(values[node])
            for node in nodes
        }
        return {node: value for node, value in seen.items() if not isinf(value)}

    def _values(self, needed: set[fx.Node]) -> dict[fx.Node, Any]:
        runner = fx.Interpreter(self._module)
        runner.env = values = {}
        for node in self._module.graph.nodes:
            if node.op == "placeholder":
                values[node] = self._example[node].detach()
            elif node in needed:
                with torch.no_grad():
                    values[node] = runner.run_node(node)
        return values


_NEEDS = "needs integers up to 2^24, which float32 holds exactly"
_OR = "compute in floating point, where rounding is torch's own too, or give input_ranges"


def _sums(node: fx.Node) -> bool:
    return node.op == "call_function" and _is_integer(node) and function_name(node) in SUMS


def _judged(node: fx.Node) -> list[fx.Node]:
    """Return the nodes whose magnitudes a node is judged by: itself, or its dividend."""
    if _sums(node):
        return [node]
    divides = node.op == "call_function" and _is_integer(node) and function_name(node) in _DIVISIONS
    return [source for source in node.all_input_nodes if divides and _is_integer(source)]


def _is_integer(node: fx.Node) -> bool:
    dtype = dtype_of(node)
    if dtype is None or dtype is torch.bool:
        return False
    return not (dtype.is_floating_point or dtype.is_complex)


def _largest(value: Tensor) -> float:
    if not value.numel() or value.is_complex():
        return 0.0
    return float(value.double().abs().nan_to_num(0.0).max())


def _counts(node: fx.Node) -> list[float]:
    """Return the integers of 0 or more among the arguments."""
    return [float(value) for value in node.args if isinstance(value, int) and value >= 0]


def _count(node: fx.Node) -> int:
    shape = getattr(node.meta.get("value"), "shape", ())
    return int(torch.Size(shape).numel())


def _constants(node: fx.Node) -> list[float]:
    """Return the magnitudes of the Python numbers among a node's arguments."""
    found: list[float] = []

    def note(value: Any) -> Any:
        if isinstance(value, float | int) and not isinstance(value, bool):
            found.append(abs(value))
        return value

    fx.node.map_aggregate((node.args[1:], node.kwargs), note)
    return found


def _positive(name: str, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Return the arguments of a sum with positive weights and without a dtype."""
    kwargs = {
        key: abs(value) if key in ("alpha", "beta", "value") else value
        for key, value in kwargs.items()
        if key not in ("dtype", "out_dtype")
    }
    if name in ("add", "sub", "mul", "pow"):
        args = tuple(abs(a) if isinstance(a, float | int) else a for a in args)
    return args, kwargs


def _ancestors(nodes: Iterable[fx.Node]) -> set[fx.Node]:
    found: set[fx.Node] = set()
    waiting = list(nodes)
    while waiting:
        for source in waiting.pop().all_input_nodes:
            if source not in found:
                found.add(source)
                waiting.append(source)
    return found


def _clamped(sources: list[float], constants: list[float]) -> float:
    """Return the bound of a clamp: between two bounds no element is larger than both."""
    return max(constants) if len(constants) == 2 else max([*sources, *constants])


def _divisor(sources: list[float], constants: list[float]) -> float:
    """Return the bound of a remainder, which is smaller than its divisor."""
    return constants[-1] if constants else sources[-1]


def _added(input: Tensor, dim: int, index: Tensor, source: Tensor, **_: Any) -> Tensor:
    """Return the bound where all sources may be added to one element."""
    return input.max() + source.sum()


# Functions that are replaced when they run on magnitudes.
_AS_SUMS: Mapping[str, Callable[..., Tensor]] = {
    "sub": torch.add,
    "bitwise_left_shift": lambda input, other: input * 2.0 ** torch.as_tensor(other).double(),
    "index_add": _added,
    "scatter_add": _added,
}
_RULES: Mapping[str, Callable[[list[float], list[float]], float]] = {
    "to": lambda sources, _: sources[0],
    "clamp": _clamped,
    "clamp_min": lambda sources, constants: max([*sources, *constants]),
    "clamp_max": lambda sources, constants: max([*sources, *constants]),
    "remainder": _divisor,
    "fmod": _divisor,
    "div": lambda sources, _: sources[0],
    "diff": lambda sources, constants: sources[0] * 2 ** max([1, *constants]),
    **dict.fromkeys(
        ("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not"),
        lambda sources, constants: 2 * max([*sources, *constants]) + 1,
    ),
}
