"""Print names and messages from files and models to a terminal or a pipe; nothing else prints."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.text import Text

from caffe2fx.report.text import visible


def echo(text: object, file: TextIO | None = None) -> None:
    """Print to a terminal or a pipe, whatever characters it can encode."""
    stream = sys.stdout if file is None else file
    print(_encodable(visible(text), stream), file=stream, flush=True)


def cell(text: object) -> Text:
    """Return a cell of a table on standard output: without markup, in one line."""
    from rich.text import Text

    return Text(_encodable(visible(text, lines=False), sys.stdout))


def _encodable(text: str, stream: TextIO) -> str:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
