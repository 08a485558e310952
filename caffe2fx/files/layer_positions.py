"""Line numbers of layers in prototxt text: protobuf's own parser keeps none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

_TOKEN = re.compile(r"""#[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[][{}<>\n]|\w+""")


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
    return _TOKEN.sub(
        lambda token: change(token[0]) if token[0].startswith("#") else token[0], text
    )


def entries(text: str) -> list[Found]:
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
    return found


def line_of(text: str, field: str) -> int | None:
    """Return the line where a layer sets such a field; None where none does."""
    tokens = _tokens(text) if field in text else ()
    return next((line for token, depth, line in tokens if depth == 1 and token == field), None)


MAX_DEPTH = 100  # more than any layer's messages need, and few enough to read them recursively


def too_deep(text: str) -> int | None:
    """Return the line where brackets nest deeper than MAX_DEPTH; None where none do."""
    return next((line for _, depth, line in _tokens(text, "{<[", "}>]") if depth > MAX_DEPTH), None)


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
