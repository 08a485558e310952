"""Escape names and messages from files and models, wherever they are shown.

A name may hold escape sequences that move the cursor, marks that turn the direction of writing, or
markup. Text that enters a page goes through `page` or, within its data, through `script`.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from math import isfinite
from typing import Any

_OF_MARKUP = str.maketrans({one: f"\\u{ord(one):04x}" for one in "<>&'\u2028\u2029"})


def visible(text: object, *, lines: bool = True) -> str:
    """Return the text with every invisible character as its code: \\x1b, \\u202e.

    Ends of lines and tabs stay, unless `lines` is off, as within a line of a table.
    """
    kept = "\n\t" if lines else ""
    return "".join(
        one if one.isprintable() or one in kept else one.encode("unicode_escape").decode()
        for one in str(text)
    )


def page(text: object) -> str:
    """Return text for HTML and SVG, in one line."""
    return html.escape(visible(text, lines=False))


def script(data: Any) -> str:
    """Return data as JSON for a script element of a page, whose end no text in it can write."""
    return json.dumps(plain(data, shown=True), separators=(",", ":")).translate(_OF_MARKUP)


def plain(value: Any, *, shown: bool = False) -> Any:
    """Return the value for JSON, which has no NaN and no Infinity: they become text.

    With `shown` every text becomes visible, as in a page.
    """
    if isinstance(value, Mapping):
        return {_key(key, shown): plain(inner, shown=shown) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner, shown=shown) for inner in value]
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    return visible(value, lines=False) if shown and isinstance(value, str) else value


def _key(key: object, shown: bool) -> str:
    return visible(key, lines=False) if shown else str(key)
