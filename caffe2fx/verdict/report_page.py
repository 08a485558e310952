"""A report as a page of HTML."""

from __future__ import annotations

from caffe2fx.report.text import page
from caffe2fx.verdict.findings import Findings, Row, Status


def html(report: Findings) -> str:
    """Return a page of the verdict and a table of every map."""
    rows = "\n".join(_html_row(row) for row in report.rows)
    return _PAGE.format(summary=page(report.summary()), rows=rows)


def _absolute(error: float | None) -> str:
    return "-" if error is None else f"{error:.2e}"


def _html_row(row: Row) -> str:
    cells = [
        row.layer,
        row.type,
        row.blob,
        "x".join(map(str, row.shape)),
        f"{row.signal:.3e}",
        _absolute(row.alone),
        _absolute(row.end_to_end),
        row.verdict,
        str(row.origin),
    ]
    kind = "good" if row.status is Status.EQUAL else "bad"
    return f'<tr class="{kind}">' + "".join(f"<td>{page(c)}</td>" for c in cells) + "</tr>"


_PAGE = """<!doctype html><meta charset="utf-8"><title>Caffe comparison</title>
<style>body{{font:14px sans-serif}}td,th{{padding:2px 8px;text-align:left}}
.bad{{background:#fdd}}.good{{background:#efe}}</style>
<p>{summary}</p><table><tr><th>layer<th>type<th>blob<th>shape<th>signal<th>alone<th>end to end
<th>verdict<th>origin</tr>
{rows}
</table>
"""
