"""The result of a comparison, readable as text, HTML, JSON, CSV and JUnit's XML."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from caffe2fx.report.text import visible
from caffe2fx.verdict.result import report_files, report_page, report_table
from caffe2fx.verdict.result.findings import Findings, Kind, Row, Status
from caffe2fx.weights.atomic import file_errors, replacing

__all__ = ["Kind", "Report", "Row", "Status"]


class Report(Findings):
    """Holds all feature maps of one comparison, in order of execution.

    `head` are the titles of its table: two names, numbers, and the verdict.
    """

    head: ClassVar[tuple[str, ...]] = (
        "layer",
        "type",
        "alone",
        "end to end",
        "of limit",
        "verdict",
    )

    def with_rows(self, rows: Iterable[Row]) -> Report:
        """Return the report with these rows in place of its own."""
        return Report(self.engine, rows, self.context)

    def with_context(self, **changes: Any) -> Report:
        """Return the report with changes to its context."""
        return Report(self.engine, self.rows, replace(self.context, **changes))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.headline}>"

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return report_table.html(self)

    def cells(self, row: Row) -> tuple[str, ...]:
        """Return the columns of a map in the report's table, under those of `head`."""
        return report_table.cells_of(row)

    @property
    def leading(self) -> tuple[Row, ...]:
        """Return the maps that a short table shows first."""
        return self.worst

    def text(self, *, every: bool = False) -> str:
        """Return the verdict and a table of the failing and the worst maps, or of every map."""
        table = report_table.lines(self, every=every)
        return visible("\n".join([self.summary(), *table, *self.notes()]))

    def show(self, *, every: bool = False) -> None:
        """Print the same, with colours on a terminal."""
        report_table.show(self, every=every)

    def save(self, path: str | Path) -> None:
        """Write the report; the path's suffix chooses the format.

        These are .html (one page that needs no network), .json (everything), .csv (a row a map),
        .xml (JUnit's, a case a map), and text for every other.
        """
        written = {
            ".html": report_page.html,
            ".json": report_files.json_of,
            ".csv": report_files.csv_of,
            ".xml": report_files.junit_of,
        }.get(Path(path).suffix.lower(), lambda report: report.text(every=True))(self)
        with file_errors(), replacing(path) as temporary:
            temporary.write_text(written, encoding="utf-8", newline="")
