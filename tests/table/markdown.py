"""Tables of a page, of which each line begins with a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from caffe2fx.weights.atomic import replacing


def line(cells: Sequence[str]) -> str:
    """Return one line of a table."""
    return f"| {' | '.join(cells)} |"


def head(columns: Sequence[str]) -> str:
    """Return the two lines above a table."""
    return f"{line(columns)}\n|{'---|' * len(columns)}"


def named_lines(text: str) -> dict[str, str]:
    """Return the lines of a page's tables, by the name in back quotes with which each begins."""
    return {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}


def table(columns: Sequence[str], lines: Mapping[str, str]) -> str:
    """Return a table with its lines in the order of their names."""
    return "\n".join([head(columns), *(lines[name] for name in sorted(lines))]) + "\n"


def with_part(text: str, name: str, content: str) -> str:
    """Return a page with the part between the markers of that name replaced."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"the page needs one part {name}, got {text.count(begin)}")
    before, _, rest = text.partition(begin)
    return f"{before}{begin}{content}\n{end}{rest.partition(end)[2]}"


def write(path: Path, text: str) -> None:
    """Put a page in place of the old one."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
