"""Unique names: a suffix is counted up until the name is free."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Protocol


class Names(Container[str], Protocol):
    """Holds the names that are taken; a set of them is one."""

    def add(self, name: str, /) -> None:
        """Take a name."""


def unique_name(wanted: str, taken: Names, key: Callable[[str], str] = str) -> str:
    """Return `wanted`, with the suffix _1, _2 ... if it is taken, and add the result to `taken`.

    `key` gives the form in which names are compared: str.lower where case does not count. The
    suffix is the least that is free, if those below it that were given are all still taken.
    """

    def candidate(suffix: int) -> str:
        return f"{wanted}_{suffix}" if suffix else wanted

    name = candidate(_first_free(lambda suffix: key(candidate(suffix)) in taken))
    taken.add(key(name))
    return name


def _first_free(is_taken: Callable[[int], bool]) -> int:
    """Return a free integer after one that is taken (or 0), in logarithmically many questions."""
    if not is_taken(0):
        return 0
    low, high = 0, 1
    while is_taken(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_taken(middle) else (low, middle)
    return high
