"""Fields of prototxt text that no schema knows: those of the layers that users register.

before: layer { name: "x" type: "Mine" mine_param { size: 2 } }
after:  layer { name: "x" type: "Mine" user_text: "mine_param { size : 2 }" }
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from google.protobuf import text_encoding

from caffe2fx.errors import CaffeFormatError
from caffe2fx.messages.layer_parameter import LayerParameter
from caffe2fx.messages.message import Message
from caffe2fx.messages.v1 import V1LayerParameter

FIELD = "user_text"  # the field of LayerParameter that holds such text
_TOKEN = re.compile(
    r"""#[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[{}<>\[\]:;,]|[^\s{}<>\[\]:;,#"']+"""
)
_CLOSES = {"{": "}", "<": ">", "[": "]"}


class Token(NamedTuple):
    """Holds a word, a string or a punctuation mark, and its position in the text."""

    text: str
    begin: int
    end: int


class Entry(NamedTuple):
    """Holds a field with its value (a list of entries for a message), and its text position."""

    name: str
    value: Any
    begin: int
    end: int


def parameters(text: str) -> dict[str, Any]:
    """Return the text's fields as a nested dict; the values of a repeated field as a list.

    Numbers, true and false are Python's own; strings and the names of enumerations are str. Raises
    CaffeFormatError for text that is not prototxt.
    """
    return _nested(entries(text))


def normal(text: str) -> str:
    """Return the text with one blank between tokens, and without comments."""
    return " ".join(token.text for token in _tokens(text))


def folded(text: str, types: Collection[str], words: Collection[str] = ()) -> str:
    """Return the text with the fields that layers of `types` have beyond LayerParameter in FIELD.

    `words` are the types as `layers` of 2014 name them. Line numbers stay as they are. Text that
    cannot be read is left as it is, for protobuf to report.
    """
    if not any(type_ in text for type_ in (*types, *words)):
        return text
    try:
        found = entries(text)
    except CaffeFormatError:
        return text
    kinds = {"layer": (types, LayerParameter), "layers": (words, V1LayerParameter)}
    for entry in reversed(found):
        own, message = kinds.get(entry.name, ((), LayerParameter))
        if isinstance(entry.value, list) and _value_of(entry, "type") in own:
            text = _fold(text, entry, message)
    return text


def unfolded(text: str) -> str:
    """Expand FIELD back into ordinary prototxt fields."""
    pattern = re.compile(rf'^(\s*){FIELD}: ("(?:\\.|[^"\\\n])*")$', re.MULTILINE)
    return pattern.sub(lambda found: found[1] + _string(found[2]), text)


def entries(text: str) -> list[Entry]:
    """Return the fields of a whole text, in order."""
    return list(_Reader(list(_tokens(text)), len(text)).fields(""))


def _tokens(text: str) -> Iterator[Token]:
    for found in _TOKEN.finditer(text):
        if not found[0].startswith("#"):
            yield Token(found[0], found.start(), found.end())


def _value_of(entry: Entry, name: str) -> Any:
    return next((inner.value for inner in entry.value if inner.name == name), "")


def _fold(text: str, entry: Entry, message: type[Message]) -> str:
    generic = {name for name, _ in message.wires()} - {FIELD}
    own = [inner for inner in entry.value if inner.name not in generic]
    kept = normal(" ".join(text[inner.begin : inner.end] for inner in own))
    for index, inner in reversed(list(enumerate(own))):
        lines = "\n" * text.count("\n", inner.begin, inner.end)
        escaped = text_encoding.CEscape(kept.encode(), as_utf8=False)
        field = f'{FIELD}: "{escaped}" ' if index == 0 else ""
        text = f"{text[: inner.begin]}{field}{lines}{text[inner.end :]}"
    return text


def _nested(fields: Sequence[Entry]) -> dict[str, Any]:
    values: dict[str, list[Any]] = {}
    for entry in fields:
        values.setdefault(entry.name, []).extend(_values(entry.value))
    return {name: found[0] if len(found) == 1 else found for name, found in values.items()}


def _values(value: Any) -> list[Any]:
    """Return the values of one field: several for a list in brackets."""
    if isinstance(value, tuple):
        return [one for item in value for one in _values(item)]
    return [_nested(value) if isinstance(value, list) else value]


class _Reader:
    """Reads protobuf's text format without a schema: messages as lists, brackets as tuples."""

    def __init__(self, tokens: Sequence[Token], end: int) -> None:
        self.tokens, self.at = [*tokens, Token("", end, end)], 0

    def fields(self, closing: str) -> Iterator[Entry]:
        while self.tokens[self.at].text != closing:
            name = self._next()
            if not re.fullmatch(r"\w+", name.text):
                raise CaffeFormatError(f"needs a field name, got {name.text!r}")
            self._skip(":")
            value = self._value()
            yield Entry(name.text, value, name.begin, self.tokens[self.at - 1].end)
            self._skip(";", ",")
        self.at += 1

    def _value(self) -> Any:
        token = self._next()
        if token.text in ("{", "<"):
            return list(self.fields(_CLOSES[token.text]))
        if token.text == "[":
            return tuple(self._items())
        if token.text[:1] in "\"'" and token.text:
            parts = [token.text]
            while self.tokens[self.at].text[:1] in ('"', "'"):
                parts.append(self._next().text)
            return "".join(map(_string, parts))
        return _scalar(token.text)

    def _items(self) -> Iterator[Any]:
        while self.tokens[self.at].text != "]":
            yield self._value()
            self._skip(",")
        self.at += 1

    def _next(self) -> Token:
        token = self.tokens[self.at]
        if not token.text:
            raise CaffeFormatError("needs all that is opened to be closed, got the end of the text")
        self.at += 1
        return token

    def _skip(self, *marks: str) -> None:
        if self.tokens[self.at].text in marks:
            self.at += 1


def _string(quoted: str) -> str:
    try:
        return bytes(text_encoding.CUnescape(quoted[1:-1])).decode()
    except ValueError as error:
        raise CaffeFormatError(f"needs a string in UTF-8, got {quoted}: {error}") from None


_INTEGER = re.compile(r"(-?)(?:0x([0-9a-fA-F]+)|0([0-7]+)|(0|[1-9]\d*))")
_FLOAT = re.compile(
    r"-?(?:(?:(?:[1-9]\d*|0)(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?|inf(?:inity)?|nan)f?", re.I
)
_WORD = re.compile(r"-?[A-Za-z_]\w*")


def _scalar(word: str) -> Any:
    if word in ("true", "false"):
        return word == "true"
    if found := _INTEGER.fullmatch(word):
        return _integer(*found.groups(""))
    if _FLOAT.fullmatch(word):
        return float(word.rstrip("fF") if word[-3:].lower() != "inf" else word)
    if not _WORD.fullmatch(word):
        raise CaffeFormatError(f"needs a value, got {word!r}")
    return word


def _integer(sign: str, hexadecimal: str, octal: str, decimal: str) -> int | float:
    """Return the value as protobuf reads it: a float where 64 bits cannot hold the integer."""
    base = 16 if hexadecimal else 8 if octal else 10
    digits = hexadecimal or octal or decimal
    value = int(digits, base) if len(digits) < 64 else float(digits if base == 10 else "inf")
    return -value if sign else value
