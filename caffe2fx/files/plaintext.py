"""The text of a prototxt file: Caffe reads bytes, of which only strings and comments are free."""

from __future__ import annotations

import re
from pathlib import Path

from google.protobuf import text_format
from google.protobuf.message import Message

from caffe2fx.errors import CaffeFormatError
from caffe2fx.files import layer_positions
from caffe2fx.weights.file_kinds import looks_like

_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def is_binary(path: str | Path) -> bool:
    """Return whether a file holds bytes that no text has, and is not text in UTF-16."""
    with Path(path).open("rb") as file:
        head = file.read(4096)
    return not head.startswith(_UTF16) and re.search(rb"[\x00-\x08\x0e-\x1f]", head) is not None


def written(message: Message) -> str:
    """Return the text of a protobuf message, with escapes for control characters in strings.

    Older protobuf (4.22) leaves them as they are, and the text would look like binary.
    """
    text = str(text_format.MessageToString(message, as_utf8=True))
    return re.sub("[\x00-\x08\x0b-\x1f\x7f]", lambda found: f"\\{ord(found[0]):03o}", text)


def read_text(path: str | Path) -> str:
    """Return the text of a file; bytes of its comments that are not UTF-8 are replaced.

    Raises CaffeFormatError for a file that is not text and for such bytes anywhere else.
    """
    data = Path(path).read_bytes()
    _check_kind(data, str(path))
    text = data.decode("utf-8", errors="surrogateescape")
    text = layer_positions.with_comments(
        text, lambda comment: re.sub("[\udc80-\udcff]", "?", comment)
    )
    _check_utf8(text, str(path))
    # As Python reads text files; Caffe takes each of the three for white space.
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _check_kind(data: bytes, source: str) -> None:
    if data.startswith(_UTF16):
        raise CaffeFormatError(f"{source} needs to be text in UTF-8, got UTF-16: save it as UTF-8")
    if data.startswith(b"\xef\xbb\xbf"):
        raise CaffeFormatError(
            f"{source} needs to start with its text, got a byte order mark (BOM), on which Caffe "
            "stops: save it as UTF-8 without BOM"
        )
    if kind := looks_like(data[:256]):
        raise CaffeFormatError(
            f"{source} needs to be a prototxt, got a file that looks like {kind}"
        )


def _check_utf8(text: str, source: str) -> None:
    if found := re.search("[\udc80-\udcff]", text):
        line = text.count("\n", 0, found.start()) + 1
        column = found.start() - text.rfind("\n", 0, found.start())
        raise CaffeFormatError(
            f"{source}:{line}:{column}: needs text in UTF-8 outside of comments, got byte "
            f"0x{ord(found[0]) - 0xDC00:02x}; is it in another encoding, or a caffemodel?"
        )
