"""Where the layers stand in prototxt text: protobuf's own parser keeps no positions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

_TOKEN = re.compile(r"""#[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[][{}<>\n]|\w+""")


class Found(NamedTuple):
    """One top-level `layer` or `layers` entry, and two of its fields as they are written."""

    line: int
    keyword: str
    name: str = ""
    type: str = ""


def with_comments(text: str, change: Callable[[str], str]) -> str:
    """The text with each of its comments changed."""
    return _TOKEN.sub(
        lambda token: change(token[0]) if token[0].startswith("#") else token[0], text
    )


def entries(text: str) -> list[Found]:
    """The layers of the text in order, whether or not it is valid."""
    found: list[Found] = []
    depth, line, before = 0, 1, ""
    for token in _TOKEN.findall(text):
        depth += (token in "{<") - (token in "}>")  # entries may stand in a list, `layer [{}]`
        line += token == "\n"
        if depth == 0 and token in ("layer", "layers"):
            found.append(Found(line, token))
        elif depth == 1 and before in ("name", "type") and found:
            found[-1] = found[-1]._replace(**{before: token.strip("\"'")})
        before = token if token != "\n" else before
    return found


def says(text: str, field: str) -> int | None:
    """The line where a layer names such a field; None where none does."""
    depth, line = 0, 1
    for token in _TOKEN.findall(text) if field in text else ():
        depth += (token in "{<[") - (token in "}>]")
        line += token == "\n"
        if depth == 1 and token == field:
            return line
    return None


MAX_DEPTH = 100  # more than any layer's messages need, and few enough to read them recursively


def too_deep(text: str) -> int | None:
    """The line where brackets nest deeper than MAX_DEPTH; None where none do."""
    depth, line = 0, 1
    for token in _TOKEN.findall(text):
        depth += (token in "{<[") - (token in "}>]")
        line += token == "\n"
        if depth > MAX_DEPTH:
            return line
    return None
