"""One way to number names that are taken."""

from __future__ import annotations

from collections.abc import Callable


def unique_name(wanted: str, taken: set[str], key: Callable[[str], str] = str) -> str:
    """Return `wanted`, with _1, _2 ... behind it if it is taken, and add the result to `taken`.

    `key` gives the form in which names are compared: str.lower where case does not count.
    """
    number, candidate = 0, wanted
    while key(candidate) in taken:
        number += 1
        candidate = f"{wanted}_{number}"
    taken.add(key(candidate))
    return candidate
