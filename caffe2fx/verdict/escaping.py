"""Escape names and messages from files and models for a terminal or for HTML.

A name may hold escape sequences that move the cursor, marks that turn the direction of writing, or
markup. One function for each place where text ends; nothing else prints.
"""

from __future__ import annotations

import html
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.text import Text


def visible(text: object, *, lines: bool = True) -> str:
    """Return the text with every invisible character as its code: \\x1b, \\u202e.

    Ends of lines and tabs stay, unless `lines` is off, as within a line of a table.
    """
    kept = "\n\t" if lines else ""
    return "".join(
        one if one.isprintable() or one in kept else one.encode("unicode_escape").decode()
        for one in str(text)
    )


def echo(text: object, file: TextIO | None = None) -> None:
    """Print to a terminal or a pipe, whatever characters it can encode."""
    stream = sys.stdout if file is None else file
    print(_encodable(visible(text), stream), file=stream, flush=True)


def cell(text: object) -> Text:
    """Return a cell of a table on standard output: without markup, in one line."""
    from rich.text import Text

    return Text(_encodable(visible(text, lines=False), sys.stdout))


def page(text: object) -> str:
    """Return text for HTML, in one line."""
    return html.escape(visible(text, lines=False))


def _encodable(text: str, stream: TextIO) -> str:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
