"""A report for other programs: JSON with everything, CSV, and XML as JUnit writes it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree

from caffe2fx.report.text import plain, visible
from caffe2fx.verdict.result.context import versions
from caffe2fx.verdict.result.findings import Findings, Row, Status

VERSION = 2  # of the JSON file


def json_of(report: Findings) -> str:
    """Return everything that is known of a comparison."""
    return json.dumps(plain(content(report)), indent=1)


def content(report: Findings) -> dict[str, Any]:
    """Return a report's JSON file as a value."""
    first, context = report.first_divergence, report.context
    return {
        "version": VERSION,
        "engine": report.engine,
        "program": context.program,
        "ok": report.ok,
        "status": report.status.value,
        "summary": report.summary(),
        "first_divergence": None if first is None else cells(report, first),
        "model": context.model,
        "target": context.target,
        "versions": versions(),
        "inputs": [asdict(one) for one in context.inputs],
        "seconds": context.seconds,
        "refusals": context.refusals,
        "rows": [cells(report, row) for row in report.rows],
        **report.extras(),
    }


def cells(report: Findings, row: Row) -> dict[str, Any]:
    """Return one row as a value of JSON."""
    return {
        **asdict(row),
        "status": row.status.value,
        "kind": report.kind(row).value,
        "fault": row.fault,
        "share": row.share,
        "seconds": report.context.layer_seconds.get(row.layer),
    }


_COLUMNS = ("layer", "type", "blob", "shape", "status", "kind", "signal", "alone", "alone_limit",
            "end_to_end", "end_to_end_limit", "share", "cosine", "relu_cosine", "l2", "psnr",
            "worst", "nan", "inf", "channels", "wrong_channels", "seconds", "module", "file",
            "line", "fault")  # fmt: skip


def csv_of(report: Findings) -> str:
    """Return a table of comma-separated values, a line a feature map."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*_COLUMNS, *report.measured])
    for row in report.rows:
        flat = cells(report, row)
        flat |= {**flat.pop("measures"), **flat.pop("origin")}
        flat["shape"] = "x".join(map(str, row.shape))
        shown = [_cell(flat[name]) for name in _COLUMNS]
        writer.writerow([*shown, *map(_cell, report.further(row))])
    return file.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    text = visible(value, lines=False)
    # A spreadsheet would take such a name for a formula.
    return f"'{text}" if isinstance(value, str) and text[:1] in ("=", "+", "-", "@") else text


def junit_of(report: Findings) -> str:
    """Return a test suite of one case a feature map, as continuous integration reads it."""
    found = list(_cases(report))
    kinds = [case.find(kind) is not None for case in found for kind in ("failure", "skipped")]
    name = report.context.model or "net"
    suite = ElementTree.Element(
        "testsuite",
        name=_xml(f"{name} in engine {report.engine}"),
        tests=str(len(found)),
        failures=str(sum(kinds[::2])),
        errors="0",
        skipped=str(sum(kinds[1::2])),
        time=f"{sum(report.context.seconds.values()):.3f}",
    )
    suite.extend(found)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=False) + "\n"


def _cases(report: Findings) -> Iterator[ElementTree.Element]:
    for reason in report.context.refusals:
        case = ElementTree.Element("testcase", name="export", classname="fx2caffe")
        ElementTree.SubElement(case, "failure", message=_xml(reason))
        yield case
    for row in report.rows:
        seconds = report.context.layer_seconds.get(row.layer, 0.0)
        case = ElementTree.Element(
            "testcase", name=_xml(f"{row.layer}: {row.blob}"), classname=_xml(row.type or "output"),
            time=f"{seconds:.6f}",
        )  # fmt: skip
        if row.status is Status.UNVERIFIED:
            ElementTree.SubElement(case, "skipped", message=_xml(row.unverified))
        elif row.status is not Status.EQUAL:
            fault = ElementTree.SubElement(case, "failure", message=_xml(row.fault))
            fault.text = _xml(row)
        yield case


def _xml(text: object) -> str:
    return visible(text, lines=False)
