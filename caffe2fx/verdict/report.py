"""The result of a comparison: one row per feature map, readable as text, HTML or JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import Enum
from math import isfinite
from pathlib import Path
from typing import Any

from caffe2fx.messages.message import Shape
from caffe2fx.origin import Origin
from caffe2fx.verdict.escaping import page, visible
from caffe2fx.weights.atomic import file_errors, replacing


class Status(str, Enum):
    """Gives the verdict on a feature map, or on a whole net."""

    EQUAL = "equal"
    DIFFERS = "differs"
    NOT_PROVEN = "not proven"  # equal where it was computed, on inputs that do not move it
    UNVERIFIED = "not verified"

    @property
    def exit_code(self) -> int:
        """Return the exit status of a command line with this verdict; 2 is for errors of usage."""
        return {Status.EQUAL: 0, Status.DIFFERS: 1}.get(self, 3)


@dataclass(frozen=True)
class Row:
    """Holds one feature map: its errors, their limits, and why it failed if it did.

    Errors are the largest absolute difference, None where it was not computed; `signal` is the
    magnitude that they are relative to.
    """

    layer: str
    type: str
    blob: str
    shape: Shape
    signal: float
    alone: float | None
    alone_limit: float
    end_to_end: float | None
    end_to_end_limit: float
    origin: Origin
    dead: bool = False
    unverified: str = ""  # why nothing was compared here
    wrong: str = ""  # a fault that has no number: another shape, a missing output
    note: str = ""  # how the layer differs from the reference's

    @property
    def status(self) -> Status:
        """Return the verdict on this map: equal, different, not proven, or not compared."""
        if self.unverified:
            return Status.UNVERIFIED
        if self._difference:
            return Status.DIFFERS
        return Status.NOT_PROVEN if self.dead else Status.EQUAL

    @property
    def verdict(self) -> str:
        """Return the word "ok", or the reason against it."""
        if self.unverified:
            return f"not verified: {self.unverified}"
        return self.fault or (f"ok; {self.note}" if self.note else "ok")

    @property
    def fault(self) -> str:
        """Return why this feature map is not proven to be equal, empty if it is."""
        if self.status is Status.NOT_PROVEN:
            return "not proven, no signal: it does not change with the inputs that were tried"
        return self._difference

    @property
    def _difference(self) -> str:
        if self.unverified or self.wrong:
            return self.wrong
        if not _within(self.alone, self.alone_limit):
            return f"fed with the reference's inputs it errs by {self.alone:.2e}"
        if not _within(self.end_to_end, self.end_to_end_limit):
            return f"end to end it errs by {self.end_to_end:.2e}"
        return ""

    @property
    def diverges(self) -> bool:
        """Return whether the layer itself computes something else."""
        return not self.unverified and not _within(self.alone, self.alone_limit)

    def __str__(self) -> str:
        text = f"layer {self.layer!r} ({self.type}), blob {self.blob!r} {list(self.shape)}"
        where = f"; {self.origin}" if self.origin.file else ""
        limits = f"limits {self.alone_limit:.1e} alone, {self.end_to_end_limit:.1e} end to end"
        if self.unverified or self.wrong:
            return f"{text}: {self.verdict}{where}"
        return f"{text}: {self.fault or 'equal'} (signal {self.signal:.2e}; {limits}){where}"


def _within(error: float | None, limit: float) -> bool:
    return error is None or error <= limit


class Report:
    """Holds all feature maps of one comparison, in order of execution."""

    def __init__(self, engine: str, rows: Iterable[Row]) -> None:
        self.engine = engine
        self.rows = tuple(rows)

    @property
    def status(self) -> Status:
        """Return DIFFERS if one map does, else NOT_PROVEN if one is or none was compared."""
        found = [row.status for row in self.rows if not row.unverified]
        if Status.DIFFERS in found:
            return Status.DIFFERS
        proven = bool(found) and Status.NOT_PROVEN not in found
        return Status.EQUAL if proven else Status.NOT_PROVEN

    @property
    def ok(self) -> bool:
        """Return whether every feature map that could be compared is proven to be equal.

        False is not yet a fault: `status` separates maps that differ from maps that are not proven.
        """
        return self.status is Status.EQUAL

    @property
    def first_divergence(self) -> Row | None:
        """Return the first layer that computes something else, else the first map that differs."""
        own = next((row for row in self.rows if row.diverges), None)
        return own or self._first(Status.DIFFERS)

    @property
    def first_unproven(self) -> Row | None:
        """Return the first feature map that did not change with any of the inputs."""
        return self._first(Status.NOT_PROVEN)

    def _first(self, status: Status) -> Row | None:
        return next((row for row in self.rows if row.status is status), None)

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        names = [visible(row.layer, lines=False) for row in self.rows]
        wide = max(map(len, names), default=5)
        lines = [f"{'layer':{wide}}  {'type':13} {'alone':>9} {'end to end':>10}  verdict"]
        lines += [
            f"{name:{wide}}  {visible(row.type):13} {_relative(row.alone, row):>9} "
            f"{_relative(row.end_to_end, row):>10}  {visible(row.verdict)}"
            for name, row in zip(names, self.rows, strict=True)
        ]
        return "\n".join([*lines, visible(self.summary())])

    def summary(self) -> str:
        """Return one line: how many maps passed, in which engine, and the first that did not."""
        count = Counter(row.status for row in self.rows)
        judged = len(self.rows) - count[Status.UNVERIFIED]
        text = f"{count[Status.EQUAL]} of {judged} feature maps equal in engine {self.engine}"
        for status in (Status.NOT_PROVEN, Status.UNVERIFIED):
            text += f", {count[status]} {status.value.upper()}" if count[status] else ""
        if self.first_divergence is not None:
            return f"{text}; first divergence: {self.first_divergence}"
        return f"{text}; {self.first_unproven}" if self.first_unproven else text

    def save(self, path: str | Path) -> None:
        """Write the report; the path's suffix (.html, .json, other: text) chooses the format."""
        form = {".html": self._html, ".json": self._json}.get(Path(path).suffix, self.__str__)
        with file_errors(), replacing(path) as temporary:
            temporary.write_text(form(), encoding="utf-8")

    def _json(self) -> str:
        rows = [{k: _plain(v) for k, v in _cells(row).items()} for row in self.rows]
        head = {"engine": self.engine, "ok": self.ok, "status": self.status.value}
        return json.dumps({**head, "rows": rows}, indent=1)

    def _html(self) -> str:
        rows = "\n".join(_html_row(row) for row in self.rows)
        return _PAGE.format(summary=page(self.summary()), rows=rows)


def _cells(row: Row) -> dict[str, Any]:
    return {**asdict(row), "status": row.status.value, "fault": row.fault}


def _plain(value: Any) -> Any:
    """Return the value for JSON, which has no NaN and no Infinity: they become text."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return value if not isinstance(value, float) or isfinite(value) else str(value)


def _relative(error: float | None, row: Row) -> str:
    if error is None:
        return "-"
    return f"{error / row.signal if row.signal else error:.1e}"


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
