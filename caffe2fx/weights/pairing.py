"""One identifier in both files of a net, so that no text runs with the weights of another net.

Two nets may have the same layer names and blob shapes and differ in a stride: nothing else in the
files shows that they do not belong together. The identifier is a hash of the text without the
batch: weights trained further fit the same text, and a text that somebody edits keeps its
identifier. A file without one, as other programs write them, is not checked.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from caffe2fx.errors import CaffeFormatError
from caffe2fx.weights import caffemodel

Path_ = str | Path

_LINE = "# caffe2fx id: {}"
# In a comment anywhere in the text, since people and editors move, indent and respace them.
_CODE = rb"""(?:[^"'#]|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')*"""
_FOUND = re.compile(_CODE + rb"#[#\s]*caffe2fx\s+id:\s*([0-9a-f]{16})\b")
_WORD = b"caffe2fx"
_MOST = 1 << 24  # bytes of a prototxt in which it is looked for; a .caffemodel is larger
_BATCH = re.compile(r"(shape \{\n\s*dim: )\d+")


def identifier_of(text: str) -> str:
    """Return the identifier of a net with this text, whatever the batch of its Input layers."""
    blocks = re.split(r"^(?=layer \{)", text, flags=re.MULTILINE)
    free = "".join(
        _BATCH.sub(r"\1N", block) if '  type: "Input"\n' in block else block for block in blocks
    )
    return hashlib.sha256(free.encode()).hexdigest()[:16]


def comment(identifier: str) -> str:
    """Return the line of a prototxt that states the identifier."""
    return _LINE.format(identifier) + "\n"


def stated_in_text(prototxt: Path_) -> str:
    """Return the identifier that a prototxt states, empty if it states none."""
    with Path(prototxt).open("rb") as file:
        text = file.read(_MOST).lower()
    lines = re.split(rb"[\r\n]", text) if _WORD in text else []
    found = next(filter(None, map(_FOUND.match, lines)), None)
    return found[1].decode() if found else ""


def stated_in_weights(weights: Path_) -> str:
    """Return the identifier that a weights file states, empty if it states none."""
    if str(weights).endswith(".h5"):
        from caffe2fx.weights import hdf5  # h5py is large

        return hdf5.identifier(weights)
    return caffemodel.identifier(weights)


def check_pair(prototxt: Path_, weights: Path_) -> None:
    """Raise CaffeFormatError if both files state an identifier, and not the same."""
    text = stated_in_text(prototxt)
    if not text:
        return
    theirs = stated_in_weights(weights)
    if theirs and theirs != text:
        raise CaffeFormatError(
            f"{prototxt} needs the weights of its own net ({text}), got those of another one "
            f"({theirs}) in {weights}, as a save leaves them that was killed between its two "
            "files: save the net again; if the two do belong together, remove the line "
            f"{_LINE.format(text)!r} from {prototxt}"
        )
