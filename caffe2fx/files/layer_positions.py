"""Where the layers stand in prototxt text: protobuf's own parser keeps no positions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

_TOKEN = re.compile(r"""#[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[][{}<>\n]|\w+""")


class Found(NamedTuple):
    """One top-level `layer` or `layers` entry, and some of its fields as they are written."""

    line: int
    keyword: str
    name: str = ""
    type: str = ""
    bottom: str = ""  # the last of them
    top: str = ""


def with_comments(text: str, change: Callable[[str], str]) -> str:
    """The text with each of its comments changed."""
    return _TOKEN.sub(
        lambda token: change(token[0]) if token[0].startswith("#") else token[0], text
    )


def entries(text: str) -> list[Found]:
    """The layers of the text in order, whether or not it is valid."""
    found: list[Found] = []
    before = ""
    for token, depth, line in _tokens(text):
        if depth == 0 and token in ("layer", "layers"):
            found.append(Found(line, token))
        elif depth == 1 and before in ("name", "type", "bottom", "top") and found:
            said: dict[str, Any] = {before: token.strip("\"'")}
            found[-1] = found[-1]._replace(**said)
        before = token if token not in "\n[]" else before
    return found


def says(text: str, field: str) -> int | None:
    """The line where a layer names such a field; None where none does."""
    tokens = _tokens(text) if field in text else ()
    return next((line for token, depth, line in tokens if depth == 1 and token == field), None)


MAX_DEPTH = 100  # more than any layer's messages need, and few enough to read them recursively


def too_deep(text: str) -> int | None:
    """The line where brackets nest deeper than MAX_DEPTH; None where none do."""
    return next((line for _, depth, line in _tokens(text, "{<[", "}>]") if depth > MAX_DEPTH), None)


def _tokens(text: str, opening: str = "{<", closing: str = "}>") -> Iterator[tuple[str, int, int]]:
    """Each token with how deep it stands, its own bracket counted, and its line.

    Entries may stand in a list, `layer [{}]`, so that its brackets are no depth of theirs.
    """
    depth, line = 0, 1
    for found in _TOKEN.finditer(text):
        token = found[0]
        depth += (token in opening) - (token in closing)
        line += token == "\n"
        yield token, depth, line
