"""Unique names: a suffix is counted up until the name is free."""

from __future__ import annotations

from collections.abc import Callable


def unique_name(wanted: str, taken: set[str], key: Callable[[str], str] = str) -> str:
    """Return `wanted`, with the suffix _1, _2 ... if it is taken, and add the result to `taken`.

    `key` gives the form in which names are compared: str.lower where case does not count.
    """
    number, candidate = 0, wanted
    while key(candidate) in taken:
        number += 1
        candidate = f"{wanted}_{number}"
    taken.add(key(candidate))
    return candidate
