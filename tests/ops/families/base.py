"""The base of families of random arguments: choices of hypothesis, and the families' list."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from hypothesis import reject
from hypothesis import strategies as st
from torch import Tensor

from caffe2fx import compat
from tests.ops.draws import Draw, variants

Shape = tuple[int, ...]
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class Random:
    """Draws choices by hypothesis."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self._draw = draw
        self._tensors = 0

    def number(self, low: int, high: int) -> int:
        """Draw an integer, both ends included."""
        return int(self._draw(st.integers(low, high)))

    def flag(self) -> bool:
        """Draw True or False."""
        return bool(self._draw(st.booleans()))

    def choice(self, *values: Any) -> Any:
        """Draw one of the options."""
        return self._draw(st.sampled_from(values))

    def some(self, values: Iterable[Any], least: int = 0) -> tuple[Any, ...]:
        """Draw some of the options, in any order."""
        order = list(self._draw(st.permutations(list(values))))
        return tuple(order[: self.number(least, len(order))])

    def many(self, count: int, low: int, high: int) -> tuple[int, ...]:
        """Draw that many integers."""
        return tuple(self.number(low, high) for _ in range(count))

    def shape(self, least: int = 1, most: int = 4, size: int = 5) -> Shape:
        """Draw sizes from 1 up of so many axes."""
        return self.many(self.number(least, most), 1, size)

    def axis(self, rank: int) -> int:
        """Draw any axis, counted from either end."""
        return self.number(-rank, rank - 1) if rank else 0

    def tensor(self, shape: Sequence[int], kind: str = "normal") -> Tensor:
        """Draw random values of a kind (see KINDS)."""
        return KINDS[kind](tuple(shape), self._generator())

    def integers(self, shape: Sequence[int], below: int, low: int = 0) -> Tensor:
        """Draw integers from `low` to below `below`."""
        return torch.randint(low, below, tuple(shape), generator=self._generator())

    def _generator(self) -> torch.Generator:
        """Return another generator for each tensor, even if hypothesis draws one seed for all."""
        self._tensors += 1
        return torch.Generator().manual_seed(1000 * self._tensors + self.number(0, 999))


DrawTensor = Callable[[Shape, torch.Generator], Tensor]
KINDS: dict[str, DrawTensor] = {
    "normal": lambda shape, g: 2 * torch.randn(shape, generator=g),
    "positive": lambda shape, g: 3 * torch.rand(shape, generator=g) + 0.1,
    "fraction": lambda shape, g: 0.9 * torch.rand(shape, generator=g) + 0.05,
    "unit": lambda shape, g: 1.9 * torch.rand(shape, generator=g) - 0.95,
    "large": lambda shape, g: 4 * torch.rand(shape, generator=g) + 1.5,
    "halves": lambda shape, g: torch.randint(-6, 7, shape, generator=g) / 2,
    "whole": lambda shape, g: torch.randint(-4, 5, shape, generator=g),
    "count": lambda shape, g: torch.randint(0, 4, shape, generator=g),
    "mask": lambda shape, g: torch.rand(shape, generator=g) < 0.5,
}

Family = Callable[[Random], Arguments]
FAMILIES: dict[Any, list[tuple[Callable[..., Any], Family]]] = defaultdict(list)


def family(*targets: Any) -> Callable[[Family], Family]:
    """Give a family to those functions that this torch has, which are called as they are."""

    def add(draw_arguments: Family) -> Family:
        for target in filter(None, map(compat.function_of, targets)):
            FAMILIES[target].append((target, draw_arguments))
        return draw_arguments

    return add


def calls(target: Any, function: Callable[..., Any]) -> Callable[[Family], Family]:
    """Give a family to a function that is reached through another one."""

    def add(draw_arguments: Family) -> Family:
        target_function = compat.function_of(target)
        if target_function is not None:
            FAMILIES[target_function].append((function, draw_arguments))
        return draw_arguments

    return add


@st.composite
def own_draws(draw: Callable[..., Any], target: Any) -> Draw:
    """Return a draw from one of the families of a function."""
    random = Random(draw)
    function, draw_arguments = random.choice(*FAMILIES[target])
    try:
        args, kwargs = draw_arguments(random)
    except RuntimeError:  # torch refused a function that makes the arguments
        reject()
    return random.choice(*variants(Draw(function, args, kwargs)))


def named(names: str, home: Any = torch) -> list[Any]:
    """Return the functions of those names."""
    return [getattr(home, name) for name in names.split()]


def any_of(kinds: str, least: int = 0) -> Family:
    """Draw one tensor of any shape and one of the kinds."""
    return lambda r: ((r.tensor(r.shape(least), r.choice(*kinds.split())),), {})


def broadcast(r: Random, count: int) -> list[Shape]:
    """Draw shapes of so many tensors that broadcast together."""
    whole = r.shape(0, 4, 4)
    target_function = []
    for _ in range(count):
        kept = whole[r.number(0, len(whole)) :] if r.flag() else whole
        target_function.append(tuple(1 if r.number(0, 3) == 0 else size for size in kept))
    return target_function


def axes(r: Random, rank: int) -> Any:
    """Draw no axis, one, or some."""
    if not rank or r.number(0, 4) == 0:
        return None
    target_function = r.some(range(rank), 1)
    target_function = tuple(axis - rank if r.flag() else axis for axis in target_function)
    return target_function[0] if len(target_function) == 1 and r.flag() else target_function


def along(*options: dict[str, Sequence[Any]], kinds: str = "normal") -> Family:
    """Draw one tensor and one of its axes, with one of each of the options."""
    given = options[0] if options else {}

    def draw_arguments(r: Random) -> Arguments:
        shape = r.shape(1, 4)
        chosen = {name: r.choice(*values) for name, values in given.items()}
        return (r.tensor(shape, r.choice(*kinds.split())),), {
            "dim": r.axis(len(shape)),
            **chosen,
        }

    return draw_arguments
