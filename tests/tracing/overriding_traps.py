"""Classes and modes with a `__torch_function__` of their own, which change what torch does."""

from __future__ import annotations

import inspect
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from tests.tracing.traps import allowed, allowed_where_torch_runs_it

WEIGHT = torch.linspace(-1.0, 1.0, 4)


class Scaled:
    """Holds a tensor and a factor, which functions multiply."""

    def __init__(self, tensor: Tensor, factor: float) -> None:
        self.tensor, self.factor = tensor, factor

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        plain = [arg.tensor if isinstance(arg, Scaled) else arg for arg in args]
        factor = max(arg.factor for arg in args if isinstance(arg, Scaled))
        return cls(func(*plain, **(kwargs or {})), factor * 2)


class Doubling(Tensor):
    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = super().__torch_function__(func, types, args, kwargs or {})  # type: ignore[no-untyped-call]
        return result * 2 if func is torch.relu else result


class Declining(Tensor):
    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.relu or any(kind is not cls for kind in types):
            return NotImplemented
        return super().__torch_function__(func, types, args, kwargs or {})  # type: ignore[no-untyped-call]


class Weights:
    """Stands for a constant in any function."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*(WEIGHT if isinstance(arg, cls) else arg for arg in args), **(kwargs or {}))


class Halving(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        return result / 2 if func is torch.relu else result


@allowed
def wrapped_in_an_object(x: Tensor, y: Tensor) -> Tensor:
    held = torch.add(torch.relu(Scaled(x - 0.5, 3.0)), y)  # type: ignore[arg-type]
    return held.tensor * held.factor  # type: ignore[attr-defined, no-any-return]


@allowed_where_torch_runs_it("2.8")
def subclass_that_changes_a_function(x: Tensor, y: Tensor) -> Tensor:
    return torch.relu((x - 0.5).as_subclass(Doubling)).as_subclass(Tensor) + y


@allowed_where_torch_runs_it("2.8")
def constant_of_a_subclass_that_changes_a_function(x: Tensor, y: Tensor) -> Tensor:
    return torch.relu(x + WEIGHT.as_subclass(Doubling)).as_subclass(Tensor) + y


@allowed_where_torch_runs_it("2.8")
def another_subclass_where_the_first_declines(x: Tensor, y: Tensor) -> Tensor:
    both: Tensor = torch.add(x.as_subclass(Declining), Weights())  # type: ignore[call-overload]
    return both.as_subclass(Tensor) * y


@allowed_where_torch_runs_it("2.8")
def all_decline(x: Tensor, y: Tensor) -> Tensor:
    try:
        return torch.relu(x.as_subclass(Declining))
    except TypeError:
        return x + y


@allowed
def object_that_stands_for_a_constant(x: Tensor, y: Tensor) -> Tensor:
    return torch.mul(x, Weights()) + torch.relu(Weights()) * y  # type: ignore[arg-type]


@allowed
def mode_that_changes_a_function(x: Tensor, y: Tensor) -> Tensor:
    with Halving():
        return torch.relu(x - y)


HAS_WEIGHT = "weight" in inspect.signature(F.l1_loss).parameters


def weighted(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    return F.l1_loss(x, y, weight=weight) if HAS_WEIGHT else F.l1_loss(x, y)


@allowed
def weights_that_torch_keeps_from_modes(x: Tensor, y: Tensor) -> Tensor:
    constant = WEIGHT.expand(3, 4)
    return weighted(x, y, y) + weighted(constant, constant + 1, x) + weighted(x, y, constant)


@allowed
def weights_that_torch_drops_itself(x: Tensor, y: Tensor) -> Tensor:
    with torch.device("cpu"):
        return weighted(x, y, y)


@allowed_where_torch_runs_it("2.8")
def weights_that_torch_keeps_from_classes(x: Tensor, y: Tensor) -> Tensor:
    return weighted(x.as_subclass(Doubling), y, y).as_subclass(Tensor)
