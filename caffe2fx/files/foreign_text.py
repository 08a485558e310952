"""Text and JSON of other programs' files, with an error of ours for whatever is wrong in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from caffe2fx.errors import CaffeFormatError


def utf8(path: str | Path) -> str:
    """Return the text of a file. Raises CaffeFormatError for bytes that are not UTF-8."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CaffeFormatError(f"{path} needs text in UTF-8, got {error}") from None


def json_object(text: str, source: str | Path) -> dict[str, Any]:
    """Return the object of a JSON text. Raises CaffeFormatError for any other text."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CaffeFormatError(f"{source} needs to be JSON: {error}") from None
    if not isinstance(found, dict):
        kind = type(found).__name__
        raise CaffeFormatError(f"{source} needs to be an object of names, got a {kind}")
    return found
