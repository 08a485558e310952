"""The rows of a zoo as a Markdown table, on its own or inside another document."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from caffe2fx.errors import CaffeFormatError
from caffe2fx.report.text import visible
from caffe2fx.weights.atomic import file_errors, replacing
from fx2caffe.zoo.result import EQUAL, VERDICTS, Row

COLUMNS = (
    "model",
    "input",
    "target",
    "engine",
    "verdict",
    "error / limit",
    "layers",
    "export",
    "prototxt",
    "caffemodel",
    "batch, or reasons",
)
BEGIN, END = "<!-- zoo: begin -->", "<!-- zoo: end -->"
LONGEST = 160  # characters of a reason in the table


def markdown(rows: Sequence[Row]) -> str:
    """Return the summary line and the table."""
    head = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    lines = [f"| {' | '.join(cells(row))} |" for row in rows]
    return "\n".join([summary(rows), "", *head, *lines]) + "\n"


def summary(rows: Sequence[Row]) -> str:
    """Return the number of rows of each verdict, as a sentence."""
    verdicts = [row.verdict for row in rows]
    counted = [(verdicts.count(name), name) for name in VERDICTS]
    parts = [f"{count} {name}" for count, name in counted if count or name == EQUAL]
    return f"{len(rows)} models: {', '.join(parts)}."


def cells(row: Row) -> list[str]:
    """Return the text of each column, in Markdown."""
    return [f"`{row.job.name}`", *values(row), _escaped(remark(row, LONGEST))]


def values(row: Row) -> list[str]:
    """Return the texts between the first column, the model, and the last, the remark."""
    return [
        ", ".join("x".join(map(str, shape)) for shape in row.inputs),
        row.job.target,
        row.job.engine,
        row.verdict,
        f"{row.error:.2g}" if row.maps else "",
        str(row.layers) if row.layers else "",
        f"{row.export_seconds:.1f} s" if row.layers else "",
        f"{row.bytes[0] / 1e3:.0f} kB" if row.layers else "",
        f"{row.bytes[1] / 1e6:.1f} MB" if row.layers else "",
    ]


def remark(row: Row, longest: int | None = None) -> str:
    """Return the reason for which a row is not equal, else the batches that it runs.

    A reason is one line, of `longest` characters or less.
    """
    if row.reasons:
        more = f" (and {len(row.reasons) - 1} more)" if len(row.reasons) > 1 else ""
        return _short(row.reasons[0], longest) + more
    return f"fixed: {_short(row.batch_faults[0], longest)}" if row.batch_faults else "any"


def _short(reason: str, longest: int | None) -> str:
    text = visible(re.sub(r"\s+", " ", reason), lines=False)
    return text if longest is None or len(text) <= longest else f"{text[: longest - 3]}..."


def _escaped(text: str) -> str:
    """Return text without Markdown's markup."""
    return re.sub(r"<(\w+)>", r"\1", text).replace("|", "/").replace("<", "&lt;")


def write(rows: Sequence[Row], path: str | Path) -> None:
    """Write the table; in a file that has the marks, the text between them is replaced."""
    with file_errors():
        document = Path(path)
        old = document.read_text("utf-8") if document.exists() else f"{BEGIN}\n{END}\n"
        with replacing(document) as temporary:
            temporary.write_text(_inserted(old, markdown(rows), document), encoding="utf-8")


def _inserted(old: str, table: str, path: Path) -> str:
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise CaffeFormatError(f"{path} needs the marks {BEGIN} and {END} around its table")
    return f"{before}{begin}\n{table}{end}{after}"
