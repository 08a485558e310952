"""Where the layers stand in prototxt text: protobuf's own parser keeps no positions."""

from __future__ import annotations

import re
from typing import NamedTuple

_TOKEN = re.compile(r"""#[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[{}<>\n]|\w+""")


class Found(NamedTuple):
    """One top-level `layer` or `layers` entry, and two of its fields as they are written."""

    line: int
    keyword: str
    name: str = ""
    type: str = ""


def entries(text: str) -> list[Found]:
    """The layers of the text in order, whether or not it is valid."""
    found: list[Found] = []
    depth, line, before = 0, 1, ""
    for token in _TOKEN.findall(text):
        depth += (token in "{<") - (token in "}>")
        line += token == "\n"
        if depth == 0 and token in ("layer", "layers"):
            found.append(Found(line, token))
        elif depth == 1 and before in ("name", "type") and found:
            found[-1] = found[-1]._replace(**{before: token.strip("\"'")})
        before = token if token != "\n" else before
    return found
