"""The fields of each message in the text of caffe.proto."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

Messages = Mapping[str, Mapping[str, str]]
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|[\w.]+|[{};=\[\],<>()-]')
_LABELS = ("optional", "required", "repeated")


def messages(text: str) -> dict[str, dict[str, str]]:
    """Return the messages of a .proto file by name, each with its fields and their types.

    Names are without their packages and outer messages, which suffices for Caffe.
    """
    found: dict[str, dict[str, str]] = {}
    _read_block(iter(_TOKEN.findall(_COMMENT.sub("", text))), None, found)
    return found


def _read_block(
    tokens: Iterator[str], fields: dict[str, str] | None, found: dict[str, dict[str, str]]
) -> None:
    """Read up to the brace that closes the block; `fields` are those of the enclosing message."""
    statement: list[str] = []
    for token in tokens:
        if token == "}":
            return
        if token == "{":
            _read_nested(statement, tokens, found)
            statement = []
        elif token == ";":
            _read_field(statement, fields)
            statement = []
        else:
            statement.append(token)


def _read_nested(
    statement: list[str], tokens: Iterator[str], found: dict[str, dict[str, str]]
) -> None:
    if len(statement) == 2 and statement[0] == "message":
        _read_block(tokens, found.setdefault(statement[1], {}), found)
    else:
        _read_block(tokens, None, {})


def _read_field(statement: list[str], fields: dict[str, str] | None) -> None:
    if fields is not None and len(statement) >= 5 and statement[0] in _LABELS:
        fields[statement[2]] = statement[1]
