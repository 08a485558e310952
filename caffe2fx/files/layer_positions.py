"""Line numbers of layers in prototxt text: protobuf's own parser keeps none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

_TOKEN = re.compile(r"""#[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[][{}<>\n]|\w+""")
# Comments, strings, and brackets, which are the group.
_BRACKET = re.compile(r"""#[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|([][{}<>])""")


class Found(NamedTuple):
    """Holds one top-level `layer` or `layers` entry, and some of its fields as written."""

    line: int
    keyword: str
    name: str = ""
    type: str = ""
    bottom: str = ""  # the last of them
    top: str = ""


def with_comments(text: str, change: Callable[[str], str]) -> str:
    """Return the text with `change` applied to each of its comments."""
    return _BRACKET.sub(
        lambda token: change(token[0]) if token[0].startswith("#") else token[0], text
    )


@lru_cache(maxsize=1)  # a text is asked several times, one after the other
def entries(text: str) -> tuple[Found, ...]:
    """Return the layers of the text in order, whether or not it is valid."""
    found: list[Found] = []
    before = ""
    for token, depth, line in _tokens(text):
        if depth == 0 and token in ("layer", "layers"):
            found.append(Found(line, token))
        elif depth == 1 and before in ("name", "type", "bottom", "top") and found:
            update: dict[str, Any] = {before: token.strip("\"'")}
            found[-1] = found[-1]._replace(**update)
        before = token if token not in "\n[]" else before
    return tuple(found)


def line_of(text: str, field: str) -> int | None:
    """Return the line where a layer sets such a field; None where none does."""
    tokens = _tokens(text) if field in text else ()
    return next((line for token, depth, line in tokens if depth == 1 and token == field), None)


MAX_DEPTH = 100  # more than any layer's messages need, and few enough to read them recursively


def too_deep(text: str) -> int | None:
    """Return the line where brackets nest deeper than MAX_DEPTH; None where none do."""
    if sum(map(text.count, "{<[")) <= MAX_DEPTH or _deepest(text) <= MAX_DEPTH:
        return None
    return next((line for _, depth, line in _tokens(text, "{<[", "}>]") if depth > MAX_DEPTH), None)


def _deepest(text: str) -> int:
    """Return how deep the brackets nest."""
    marks = (found[0] for found in _BRACKET.finditer(text) if found.lastindex)
    return max(accumulate((1 if mark in "{<[" else -1) for mark in marks), default=0)


def _tokens(text: str, opening: str = "{<", closing: str = "}>") -> Iterator[tuple[str, int, int]]:
    """Yield each token, its depth with its own bracket counted, and its line.

    Entries may be in a list, `layer [{}]`, whose brackets add no depth.
    """
    depth, line = 0, 1
    for found in _TOKEN.finditer(text):
        token = found[0]
        depth += (token in opening) - (token in closing)
        line += token == "\n"
        yield token, depth, line
