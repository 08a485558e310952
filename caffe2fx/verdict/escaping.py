"""Names and messages out of files and models, as they may stand in a terminal or in HTML.

A name may hold escape sequences that move the cursor, marks that turn the direction of writing, or
markup. One function for each place where text ends; nothing else prints.
"""

from __future__ import annotations

import html
import sys
from typing import TextIO

from rich.text import Text


def visible(text: object, *, lines: bool = True) -> str:
    """The text with every character that is not seen as itself by its code: \\x1b, \\u202e.

    Ends of lines and tabs stay, unless `lines` is off, as within a line of a table.
    """
    kept = "\n\t" if lines else ""
    return "".join(
        one if one.isprintable() or one in kept else one.encode("unicode_escape").decode()
        for one in str(text)
    )


def say(text: object, file: TextIO | None = None) -> None:
    """Print to a terminal or a pipe, whatever characters it can take."""
    stream = sys.stdout if file is None else file
    print(_encodable(visible(text), stream), file=stream, flush=True)


def cell(text: object) -> Text:
    """A cell of a table on standard output: without markup, in one line."""
    return Text(_encodable(visible(text, lines=False), sys.stdout))


def page(text: object) -> str:
    """Text in HTML, in one line."""
    return html.escape(visible(text, lines=False))


def _encodable(text: str, stream: TextIO) -> str:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
