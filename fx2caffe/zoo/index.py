"""The page about a whole zoo: its table, with links to each model's report and prototxt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from caffe2fx.report.listing import Cell, Listing, rendered
from caffe2fx.weights.atomic import replacing
from fx2caffe.zoo.result import DIFFERS, EQUAL, NOT_PROVEN, VERDICTS, Row
from fx2caffe.zoo.table import COLUMNS, remark, summary, values

_MARKS = {EQUAL: "equal", DIFFERS: "fault", NOT_PROVEN: "unproven"}


def save(rows: Sequence[Row], path: Path) -> None:
    """Write the page, atomically. The files that it links are in its own folder."""
    with replacing(path) as temporary:
        temporary.write_text(page(rows, path.parent), encoding="utf-8")


def page(rows: Sequence[Row], folder: Path) -> str:
    """Return the page as text; files of `folder` that are not there get no link."""
    existing = {path.name for path in folder.iterdir()}
    lines = [(_MARKS.get(row.verdict, "fault"), _cells(row, existing)) for row in rows]
    status = _status({row.verdict for row in rows})
    return rendered(Listing("Model zoo", status, summary(rows), COLUMNS, lines))


def _status(verdicts: set[str]) -> str:
    """Return the class of the page's verdict, which is its worst row's."""
    if verdicts <= {EQUAL}:
        return "equal"
    return "not-proven" if verdicts <= {EQUAL, NOT_PROVEN} else "differs"


def _cells(row: Row, existing: set[str]) -> list[Cell]:
    """Return the cells of the table's columns; measures are sorted by their values."""
    links = _links(row, existing)
    measures = _measures(row)
    texts = [row.job.name, *values(row), remark(row)]
    return [
        Cell(text, measures.get(column), links.get(column, {}))
        for column, text in zip(COLUMNS, texts, strict=True)
    ]


def _links(row: Row, existing: set[str]) -> dict[str, Mapping[str, str]]:
    """Return the links in a column: texts and files."""
    seconds = (f"batch {row.job.batch}",) if row.job.batch else ()
    reports = dict(zip(("report", *seconds), row.reports, strict=False))
    files = {"verdict": reports, "prototxt": {"prototxt": f"{row.job.stem}.prototxt"}}
    return {
        column: {text: name for text, name in named.items() if name in existing}
        for column, named in files.items()
    }


def _measures(row: Row) -> dict[str, float]:
    """Return the keys that the columns are sorted by; a row without the measure comes first."""
    nothing = -1.0
    exported = row.layers > 0
    return {
        "verdict": VERDICTS.index(row.verdict),
        "error / limit": row.error if row.maps else nothing,
        "layers": row.layers,
        "export": row.export_seconds if exported else nothing,
        "prototxt": row.bytes[0] if exported else nothing,
        "caffemodel": row.bytes[1] if exported else nothing,
    }
