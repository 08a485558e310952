"""The result of a comparison: one row a feature map, readable as text, HTML or JSON."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import isfinite, isnan
from pathlib import Path
from typing import Any

from caffe2fx.atomic import file_errors, replacing
from caffe2fx.message import Shape
from caffe2fx.origin import Origin


@dataclass(frozen=True)
class Row:
    """One feature map: its errors, what they may be, and why it failed if it did.

    Errors are the largest absolute difference; `signal` is what they are measured against.
    """

    layer: str
    type: str
    blob: str
    shape: Shape
    signal: float
    alone: float
    alone_limit: float
    end_to_end: float
    end_to_end_limit: float
    origin: Origin
    dead: bool = False
    unverified: str = ""  # why nothing was compared here

    @property
    def verdict(self) -> str:
        """One word or the reason against it."""
        return self.fault or (f"not verified: {self.unverified}" if self.unverified else "ok")

    @property
    def fault(self) -> str:
        """What is wrong with this feature map, empty if nothing is."""
        if self.unverified:
            return ""
        if self.dead:
            return "no signal: it does not change with the input, so that nothing is proven"
        if not self.alone <= self.alone_limit:
            return f"fed with the reference's inputs it errs by {self.alone:.2e}"
        if not self.end_to_end <= self.end_to_end_limit:
            return f"end to end it errs by {self.end_to_end:.2e}"
        return ""

    @property
    def diverges(self) -> bool:
        """Whether the layer itself computes something else."""
        return not self.unverified and not self.alone <= self.alone_limit

    def __str__(self) -> str:
        text = f"layer {self.layer!r} ({self.type}), blob {self.blob!r} {list(self.shape)}"
        where = f"; {self.origin}" if self.origin.file else ""
        limits = f"limits {self.alone_limit:.1e} alone, {self.end_to_end_limit:.1e} end to end"
        if self.unverified:
            return f"{text}: {self.verdict}{where}"
        return f"{text}: {self.fault or 'equal'} (signal {self.signal:.2e}; {limits}){where}"


class Report:
    """All feature maps of one comparison, in order of execution."""

    def __init__(self, engine: str, rows: Iterable[Row]) -> None:
        self.engine = engine
        self.rows = tuple(rows)

    @property
    def ok(self) -> bool:
        """Whether every feature map that could be compared passed (and there was one)."""
        judged = [row for row in self.rows if not row.unverified]
        return bool(judged) and not any(row.fault for row in judged)

    @property
    def first_divergence(self) -> Row | None:
        """The first layer that computes something else, else the first that failed at all."""
        own = next((row for row in self.rows if row.diverges), None)
        return own or next((row for row in self.rows if row.fault), None)

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        wide = max([len(row.layer) for row in self.rows], default=5)
        lines = [f"{'layer':{wide}}  {'type':13} {'alone':>9} {'end to end':>10}  verdict"]
        lines += [
            f"{row.layer:{wide}}  {row.type:13} {_relative(row.alone, row):9.1e} "
            f"{_relative(row.end_to_end, row):10.1e}  {row.verdict}"
            for row in self.rows
        ]
        return "\n".join([*lines, self.summary()])

    def summary(self) -> str:
        """One line: how many feature maps passed, in which engine, and the first divergence."""
        judged = [row for row in self.rows if not row.unverified]
        passed = sum(not row.fault for row in judged)
        text = f"{passed} of {len(judged)} feature maps equal in engine {self.engine}"
        if len(judged) < len(self.rows):
            text += f", {len(self.rows) - len(judged)} NOT VERIFIED"
        first = self.first_divergence
        return text if first is None else f"{text}; first divergence: {first}"

    def save(self, path: str | Path) -> None:
        """Write the report; the path's ending (.html, .json, other: text) chooses the form."""
        form = {".html": self._html, ".json": self._json}.get(Path(path).suffix, self.__str__)
        with file_errors(), replacing(path) as temporary:
            temporary.write_text(form(), encoding="utf-8")

    def _json(self) -> str:
        rows = [{k: _plain(v) for k, v in _cells(row).items()} for row in self.rows]
        return json.dumps({"engine": self.engine, "ok": self.ok, "rows": rows}, indent=1)

    def _html(self) -> str:
        rows = "\n".join(_html_row(row) for row in self.rows)
        return _PAGE.format(summary=html.escape(self.summary()), rows=rows)


def _cells(row: Row) -> dict[str, Any]:
    return {**asdict(row), "fault": row.fault}


def _plain(value: Any) -> Any:
    """JSON has no NaN and no Infinity: they become text."""
    return value if not isinstance(value, float) or isfinite(value) else str(value)


def _relative(error: float, row: Row) -> float:
    return error / row.signal if row.signal and not isnan(error) else error


def _html_row(row: Row) -> str:
    cells = [
        row.layer,
        row.type,
        row.blob,
        "x".join(map(str, row.shape)),
        f"{row.signal:.3e}",
        f"{row.alone:.2e}",
        f"{row.end_to_end:.2e}",
        row.verdict,
        str(row.origin),
    ]
    kind = "bad" if row.fault or row.unverified else "good"
    return f'<tr class="{kind}">' + "".join(f"<td>{html.escape(c)}</td>" for c in cells) + "</tr>"


_PAGE = """<!doctype html><meta charset="utf-8"><title>Caffe comparison</title>
<style>body{{font:14px sans-serif}}td,th{{padding:2px 8px;text-align:left}}
.bad{{background:#fdd}}.good{{background:#efe}}</style>
<p>{summary}</p><table><tr><th>layer<th>type<th>blob<th>shape<th>signal<th>alone<th>end to end
<th>verdict<th>origin</tr>
{rows}
</table>
"""
