"""Tables of a page, of which each line begins with a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from caffe2fx.weights.atomic import replacing


def line(cells: Sequence[str]) -> str:
    """One line of a table."""
    return f"| {' | '.join(cells)} |"


def head(columns: Sequence[str]) -> str:
    """The two lines above a table."""
    return f"{line(columns)}\n|{'---|' * len(columns)}"


def named_lines(text: str) -> dict[str, str]:
    """The lines of a page's tables, by the name in back quotes with which each begins."""
    return {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}


def table(columns: Sequence[str], lines: Mapping[str, str]) -> str:
    """A table with its lines in the order of their names."""
    return "\n".join([head(columns), *(lines[name] for name in sorted(lines))]) + "\n"


def write(path: Path, text: str) -> None:
    """Put a page in place of the old one."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
