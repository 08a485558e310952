"""The functions of random programs: which values each takes, and its result.

A plan states, for the values that there are, which of them a function takes and with which
arguments; None where it takes none of them. No plan and no argument depends on the size of the
batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Operands = tuple[tuple[int, ...], tuple[Any, ...]]
Layers = nn.ModuleDict


class Choices:
    """Integers that hypothesis drew, as choices."""

    def __init__(self, drawn: Sequence[int]) -> None:
        self._drawn = list(drawn)

    def among(self, values: Sequence[Any]) -> Any:
        """One of the values, the last of them for a number of 0."""
        value = self._drawn.pop(0) if self._drawn else 0
        return values[-1 - value % len(values)]


Plan = Callable[[Sequence[Tensor], Choices], Operands | None]


@dataclass(frozen=True)
class Function:
    """Holds a function's operands, and how it runs on the model's layers, values and arguments."""

    plan: Plan
    run: Callable[..., Any]
    layer: Callable[..., nn.Module] | None = None  # made of the arguments that `run` gets


FUNCTIONS: dict[str, Function] = {}
Fits = Callable[[Tensor], bool]


def _indices(values: Sequence[Tensor], fits: Fits) -> list[int]:
    return [index for index, value in enumerate(values) if fits(value)]


def _one(fits: Fits) -> Plan:
    def plan(values: Sequence[Tensor], choices: Choices) -> Operands | None:
        indices = _indices(values, fits)
        return ((choices.among(indices),), ()) if indices else None

    return plan


def _along(fits: Callable[[Tensor, int], bool]) -> Plan:
    """Plan a value and an axis of it that is not the batch's."""

    def plan(values: Sequence[Tensor], choices: Choices) -> Operands | None:
        indices = _indices(values, lambda x: any(fits(x, a) for a in range(1, x.dim())))
        if not indices:
            return None
        index = choices.among(indices)
        axes = [axis for axis in range(1, values[index].dim()) if fits(values[index], axis)]
        return (index,), (choices.among(axes),)

    return plan


def _two(fits: Callable[[Tensor, Tensor], bool]) -> Plan:
    def plan(values: Sequence[Tensor], choices: Choices) -> Operands | None:
        first = choices.among(range(len(values)))
        indices = _indices(values, lambda x: fits(values[first], x))
        return ((first, choices.among(indices)), ()) if indices else None

    return plan


def _two_along(values: Sequence[Tensor], choices: Choices) -> Operands | None:
    """Plan two values that differ along one axis at most."""
    found = _along(_any)(values, choices)
    if found is None:
        return None
    (first,), (axis,) = found

    def sizes_of(x: Tensor) -> list[int]:
        return [size for a, size in enumerate(x.shape) if a != axis]

    mine = values[first]
    indices = _indices(values, lambda x: x.dim() == mine.dim() and sizes_of(x) == sizes_of(mine))
    return (first, choices.among(indices)), (axis,)


def _any(x: Tensor, axis: int) -> bool:
    return True


def _longer(x: Tensor, axis: int) -> bool:
    return x.shape[axis] > 1


def _broadcast(one: Tensor, two: Tensor) -> bool:
    pairs = zip(one.shape, two.shape, strict=False)
    return one.dim() == two.dim() and all(a == b or 1 in (a, b) for a, b in pairs)


def _image(x: Tensor) -> bool:
    return x.dim() == 4 and min(x.shape[2:]) > 1


UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "double": lambda x: x * 2,
    "plus": lambda x: x + 0.5,
    "from_one": lambda x: 1 - x,
    "neg": lambda x: -x,
    "abs": torch.abs,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "square": lambda x: x.tanh().square(),
    "falling": lambda x: (-x.abs()).exp(),
    "root": lambda x: (x.abs() + 0.1).sqrt(),
    "log": lambda x: (x.abs() + 0.5).log(),
    "inverse": lambda x: 1 / (x.abs() + 0.5),
    "clamp": lambda x: x.clamp(-1, 0.8),
    "silu": F.silu,
    "gelu": F.gelu,
    "softplus": F.softplus,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "elu": F.elu,
    "leaky": lambda x: F.leaky_relu(x, 0.2),
    "mish": F.mish,
    "sin": torch.sin,
    "flatten": lambda x: x.flatten(1),
    "clone": torch.clone,
    "of_rank": lambda x: x if x.dim() > 2 else x[:, :, None],
}
for _name, _function in UNARY.items():
    FUNCTIONS[_name] = Function(_one(lambda x: True), lambda _, x, f=_function: f(x))

BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": lambda x, y: x * y.tanh(),
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "div": lambda x, y: x / (y.abs() + 0.5),
    "where": lambda x, y: torch.where(x > 0.1, x, y),
    "add_scaled": lambda x, y: torch.add(x, y, alpha=-0.5),
}
for _name, _both in BINARY.items():
    FUNCTIONS[_name] = Function(_two(_broadcast), lambda _, x, y, f=_both: f(x, y))

ALONG: dict[str, tuple[Callable[[Tensor, int], bool], Callable[[Tensor, int], Any]]] = {
    "mean": (_any, lambda x, a: x.mean(a, keepdim=True)),
    "mean_dropped": (_any, lambda x, a: x.mean(a)),
    "sum": (_any, lambda x, a: x.sum(a, keepdim=True)),
    "amax": (_any, lambda x, a: x.amax(a)),
    "softmax": (_longer, lambda x, a: x.softmax(a)),
    "log_softmax": (_longer, lambda x, a: x.log_softmax(a)),
    "logsumexp": (_any, lambda x, a: x.logsumexp(a)),
    "cumsum": (_any, lambda x, a: x.cumsum(a)),
    "normalize": (_longer, lambda x, a: F.normalize(x, dim=a)),
    "flip": (_any, lambda x, a: x.flip(a)),
    "roll": (_any, lambda x, a: x.roll(1, a)),
    "narrow": (_longer, lambda x, a: x.narrow(a, 1, x.shape[a] - 1)),
    "every_second": (_longer, lambda x, a: x[(slice(None),) * a + (slice(None, None, 2),)]),
    "select": (_any, lambda x, a: x.select(a, -1)),
    "unsqueeze": (_any, lambda x, a: x.unsqueeze(a)),
    "squeeze": (lambda x, a: x.shape[a] == 1, lambda x, a: x.squeeze(a)),
    "expand": (
        lambda x, a: x.shape[a] == 1,
        lambda x, a: x.expand(*(3 if axis == a else -1 for axis in range(x.dim()))),
    ),
    "transpose": (_any, lambda x, a: x.transpose(a, -1)),
    "chunk": (_longer, lambda x, a: x.chunk(2, a)),
    "unbind": (lambda x, a: x.shape[a] < 4, lambda x, a: x.unbind(a)),
    "repeat": (_any, lambda x, a: torch.cat([x, x], a)),
    "chosen": (_longer, lambda x, a: x.index_select(a, torch.tensor([1, 0, 1]))),
    "unflatten": (lambda x, a: x.shape[a] == 4, lambda x, a: x.unflatten(a, (2, 2))),
    "glu": (lambda x, a: x.shape[a] % 2 == 0, lambda x, a: F.glu(x, a)),
    "padded": (_any, lambda x, a: F.pad(x, (0, 0) * (x.dim() - 1 - a) + (1, 0))),
}
for _name, (_fits, _axial) in ALONG.items():
    FUNCTIONS[_name] = Function(_along(_fits), lambda _, x, a, f=_axial: f(x, a))

FUNCTIONS["cat"] = Function(_two_along, lambda _, x, y, a: torch.cat([x, y], a))
FUNCTIONS["stack"] = Function(
    _two(lambda x, y: x.shape == y.shape), lambda _, x, y: torch.stack([x, y], 1)
)
FUNCTIONS["product"] = Function(
    _two(lambda x, y: x.dim() > 2 and x.shape == y.shape),
    lambda _, x, y: (x @ y.transpose(-1, -2)) * 0.3,
)
FUNCTIONS["attention"] = Function(
    _two(lambda x, y: x.dim() > 2 and x.shape == y.shape),
    lambda _, x, y: F.scaled_dot_product_attention(x, y, x),
)

IMAGES: dict[str, Callable[[Tensor], Tensor]] = {
    "max_pool": lambda x: F.max_pool2d(x, 2, 1),
    "avg_pool": lambda x: F.avg_pool2d(x, 2, stride=2, ceil_mode=True),
    "global_pool": lambda x: F.adaptive_avg_pool2d(x, 1),
    "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "bilinear": lambda x: F.interpolate(x, size=(4, 3), mode="bilinear", align_corners=False),
}
for _name, _function in IMAGES.items():
    FUNCTIONS[_name] = Function(_one(_image), lambda _, x, f=_function: f(x))


def _layer(name: str, fits: Fits, axis: int, make: Callable[[int], nn.Module]) -> None:
    """Add a function of one of two layers for each size, so that a layer may be used twice."""

    def plan(values: Sequence[Tensor], choices: Choices) -> Operands | None:
        indices = _indices(values, fits)
        if not indices:
            return None
        index = choices.among(indices)
        return (index,), (values[index].shape[axis], choices.among((1, 0)))

    def run(layers: Layers, x: Tensor, size: int, which: int) -> Any:
        return layers[f"{name}_{size}_{which}"](x)

    FUNCTIONS[name] = Function(plan, run, lambda size, which: make(size))


_layer("linear", lambda x: True, -1, lambda n: nn.Linear(n, 4))
_layer("layer_norm", lambda x: x.shape[-1] > 1, -1, nn.LayerNorm)
_layer("conv", _image, 1, lambda n: nn.Conv2d(n, 4, 3, padding=1))
_layer("pointwise", _image, 1, lambda n: nn.Conv2d(n, 2, 1, bias=False))
_layer("depthwise", _image, 1, lambda n: nn.Conv2d(n, n, 3, padding=1, groups=n))
_layer("strided", _image, 1, lambda n: nn.Conv2d(n, 3, 2, stride=2))
_layer("transposed", _image, 1, lambda n: nn.ConvTranspose2d(n, 2, 2, stride=2))
_layer("line_conv", lambda x: x.dim() == 3 and x.shape[2] > 1, 1, lambda n: nn.Conv1d(n, 4, 2))
_layer("prelu", lambda x: x.dim() > 2, 1, nn.PReLU)
_layer("batch_norm", _image, 1, nn.BatchNorm2d)
_layer("group_norm", lambda x: x.dim() > 2, 1, lambda n: nn.GroupNorm(1, n))


# Writes in place. The planned value is never an input's memory: see tests.composed.programs.
def _write_part(x: Tensor, axis: int) -> Tensor:
    x.narrow(axis, 0, 1).mul_(2)
    return x


def _write_last(x: Tensor, axis: int) -> Tensor:
    x[(slice(None),) * axis + (0,)] = x.select(axis, -1) * 0.5
    return x


def _write_masked(x: Tensor) -> Tensor:
    x[x > 0.2] *= 0.5
    return x


def _write_filled(x: Tensor) -> Tensor:
    x[x < -0.5] = -0.5
    return x


def _write_other(x: Tensor, y: Tensor) -> Tensor:
    return x.copy_(y.tanh())


WRITES = {
    "add_": Function(_one(lambda x: True), lambda _, x: x.add_(1)),
    "mul_": Function(_one(lambda x: True), lambda _, x: x.mul_(-0.5)),
    "relu_": Function(_one(lambda x: True), lambda _, x: F.relu(x, inplace=True)),
    "sigmoid_": Function(_one(lambda x: True), lambda _, x: x.sigmoid_()),
    "write_part": Function(_along(_any), lambda _, x, a: _write_part(x, a)),
    "write_last": Function(_along(_longer), lambda _, x, a: _write_last(x, a)),
    "write_masked": Function(_one(lambda x: True), lambda _, x: _write_masked(x)),
    "write_filled": Function(_one(lambda x: True), lambda _, x: _write_filled(x)),
    "write_other": Function(
        _two(lambda x, y: x.shape == y.shape), lambda _, x, y: _write_other(x, y)
    ),
    "accumulate": Function(
        _two(lambda x, y: _broadcast(x, y) and x.numel() >= y.numel()),
        lambda _, x, y: x.add_(y),
    ),
}
FUNCTIONS |= WRITES

# These mix samples: a batch is then fixed, or has to be free all the same.
FUNCTIONS["less_mean"] = Function(
    _one(lambda x: True), lambda _, x: x - x.mean(0, keepdim=True) * 0.5
)
FUNCTIONS["samples_turned"] = Function(_one(lambda x: True), lambda _, x: x.flip(0))
