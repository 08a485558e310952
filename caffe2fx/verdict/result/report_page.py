"""A report as a page of HTML: the data of each of its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import log10
from typing import Any

from caffe2fx.net.drawing import nodes_of
from caffe2fx.report.layout import Node
from caffe2fx.report.page import Line, Page, rendered
from caffe2fx.verdict.result.context import versions
from caffe2fx.verdict.result.explanation import explained, word
from caffe2fx.verdict.result.findings import Findings, Kind, Row

HEAD = ("layer", "type", "blob", "shape", "alone", "end to end", "of limit", "cosine", "verdict")
_GRAVEST = (Kind.FAULT, Kind.CONSEQUENCE, Kind.UNPROVEN, Kind.UNVERIFIED, Kind.EQUAL)


def html(report: Findings) -> str:
    """Return the whole page as text."""
    context = report.context
    of_model, program = f" of {context.model}" * bool(context.model), context.program
    rows: dict[str, list[int]] = {}
    for index, row in enumerate(report.rows):
        rows.setdefault(row.layer, []).append(index)
    records = {step.name: str(step) for step in context.net or ()}
    made = Page(
        title=f"Feature maps{of_model} in {program or report.engine}"
        if report.rows
        else f"Export{of_model}",
        status=_class(report),
        word=word(report),
        explanation=[*explained(report), *report.notes()],
        facts=_facts(report),
        refusals=context.refusals,
        nodes=_nodes(report, rows),
        head=(*HEAD[:-1], *report.measured, HEAD[-1]),
        lines=[_line(report, row) for row in report.rows],
        data={
            "rows": [_data(report, row, records) for row in report.rows],
            "nodes": [rows.get(name, []) for name in records],
            "first": _first(report),
            "differs": report.first_divergence is not None,
        },
    )
    return rendered(made)


def _class(report: Findings) -> str:
    if report.context.is_check:
        return "refused" if report.context.refusals else "equal"
    return report.status.value.replace(" ", "-")


def _first(report: Findings) -> int:
    """Return the index of the row that the page opens with: the fault, else the worst."""
    row = report.first_divergence or report.first_unproven or next(iter(report.worst), None)
    return next((index for index, one in enumerate(report.rows) if one is row), 0)


def _facts(report: Findings) -> dict[str, str]:
    context = report.context
    inputs = (
        f"{one.name} {'x'.join(map(str, one.shape)) or 'scalar'}, from {one.low:.4g} to "
        f"{one.high:.4g}, SHA-256 {one.sha256[:12]}"
        for one in context.inputs
    )
    seconds = (f"{name} {value:.2f} s" for name, value in context.seconds.items())
    return {
        "model": context.model,
        "target": context.target,
        "engine": report.engine if report.rows else "",
        "program": context.program,
        "inputs": "; ".join(inputs),
        "time": ", ".join(seconds),
        "computed with": ", ".join(f"{name} {version}" for name, version in versions().items()),
    }


def _nodes(report: Findings, rows: Mapping[str, Sequence[int]]) -> tuple[Node, ...]:
    """Return the net's layers in the colours of their gravest maps; `rows` are those of each."""
    if report.context.net is None:
        return ()
    kinds = {name: _kind(report, [report.rows[i] for i in found]) for name, found in rows.items()}
    return nodes_of(report.context.net, kinds)


def _kind(report: Findings, rows: Sequence[Row]) -> str:
    kind = min((report.kind(row) for row in rows), key=_GRAVEST.index)
    if kind is not Kind.EQUAL:
        return str(kind.value)
    share = max(row.share for row in rows)
    shade = min(4, max(0, round(4 + 2 * log10(share)))) if share > 0 else 0
    return f"{kind.value} s{shade}"


def _line(report: Findings, row: Row) -> Line:
    cells = (
        row.layer,
        row.type,
        row.blob,
        "x".join(map(str, row.shape)),
        _formatted(row.alone),
        _formatted(row.end_to_end),
        f"{row.share:.2g}" if row.is_measured else "-",
        f"{row.measures.cosine:.6f}" if row.measures.cosine == row.measures.cosine else "-",
        *(f"{value:.4g}" for value in report.further(row)),
        row.verdict,
    )
    return Line(report.kind(row).value, cells)


def _formatted(error: float | None) -> str:
    return "-" if error is None else f"{error:.2e}"


def _data(report: Findings, row: Row, records: Mapping[str, str]) -> dict[str, Any]:
    """Return the data of a row for the page's program."""
    context = report.context
    details = context.details.get((row.layer, row.blob))
    weights = context.parameters.get(row.layer)
    origin = asdict(row.origin)
    return {
        **asdict(row.measures),
        **{name: origin[name] for name in ("module", "file", "line", "source", "rules")},
        "layer": row.layer,
        "type": row.type,
        "blob": row.blob,
        "shape": row.shape,
        "more": dict(zip(report.measured, report.further(row), strict=True)),
        "kind": report.kind(row).value,
        "verdict": row.verdict,
        "signal": row.signal,
        "alone": row.alone,
        "alone_limit": row.alone_limit,
        "end_to_end": row.end_to_end,
        "end_to_end_limit": row.end_to_end_limit,
        "seconds": context.layer_seconds.get(row.layer),
        "record": records.get(row.layer, ""),
        "details": None if details is None else asdict(details),
        "parameters": None if weights is None else asdict(weights),
    }
