"""The verdict of a report in sentences: each fault, its layer, and its consequence."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from caffe2fx.verdict.result.findings import Findings, Kind, Row, Status

_WORDS = {
    Status.EQUAL: "Equal",
    Status.DIFFERS: "Differs",
    Status.NOT_PROVEN: "Not proven",
    Status.UNVERIFIED: "Not verified",
}


def word(report: Findings) -> str:
    """Return the verdict in a word or two."""
    if report.context.is_check:
        return "Refused" if report.context.refusals else "Not refused"
    return _WORDS[report.status]


def explained(report: Findings) -> list[str]:
    """Return the sentences that explain the verdict, the most important first."""
    if report.context.is_check and not report.context.refusals:
        return ["The model can be exported exactly. No feature map was compared yet."]
    if report.context.refusals:
        count = len(report.context.refusals)
        return [
            f"Nothing was written: {count} operation{'s' * (count > 1)} of the model cannot be "
            "exported exactly. Each is listed with its reason and its line in the model."
        ]
    found = {
        Status.EQUAL: _equal,
        Status.DIFFERS: _differs,
        Status.NOT_PROVEN: _unproven,
        Status.UNVERIFIED: _unproven,
    }[report.status](report)
    return [*found, *_left_out(report)]


def _equal(report: Findings) -> Iterator[str]:
    yield (
        f"{report.headline}. Each was computed twice: by its layer alone, fed with the reference's "
        "own inputs, and in the run of the whole net."
    )
    worst = next(iter(report.worst), None)
    if worst is not None:
        yield f"Nearest to its limit is layer {worst.layer!r}, which uses {worst.share:.0%} of it."


def _differs(report: Findings) -> Iterator[str]:
    first = report.first_divergence
    if first is None:
        return
    yield f"Layer {first.layer!r} ({first.type or 'output'}): {first.fault}{_times(first)}."
    if str(first.origin) and first.origin.file:
        yield f"It comes from {first.origin}."
    if (channels := _channels(first)) is not None:
        yield channels
    kinds = [report.kind(row) for row in report.rows]
    others, after = kinds.count(Kind.FAULT) - 1, kinds.count(Kind.CONSEQUENCE)
    if after:
        yield f"{_maps(after)} after it differ{'s' * (after == 1)} by what it passes on."
    if others:
        names = [repr(r.layer) for r in report.rows if report.kind(r) is Kind.FAULT and r != first]
        more = ", ..." if len(names) > 5 else ""
        yield f"By themselves differ also {', '.join(names[:5])}{more}."
    yield f"{report.headline}."


def _times(row: Row) -> str:
    if not 1 < row.share < inf:
        return ""
    return f", {row.share:,.{0 if row.share >= 100 else 1}f} times its limit"


def _channels(row: Row) -> str | None:
    found = row.measures
    if not found.worst or found.channel is None:
        return None
    wrong = f"{found.wrong_channels} of {found.channels} channels err by at least half as much"
    got, wanted = found.values
    index = list(found.worst)
    return f"The largest error is at {index}: {got:.6g}, where {wanted:.6g} is right; {wrong}."


def _unproven(report: Findings) -> Iterator[str]:
    first = report.first_unproven
    yield f"{report.headline}. Nothing differs, but that is not enough for a verdict."
    if first is not None:
        yield (
            f"Layer {first.layer!r} ({first.type}) gives the same for all inputs that were tried, "
            "so that a fault before it could not show. Inputs or weights that keep its signal "
            "alive would prove it."
        )
    elif not report.rows:
        yield "No feature map was compared."


def _left_out(report: Findings) -> Iterator[str]:
    left = [row for row in report.rows if row.unverified]
    if left:
        names = ", ".join(dict.fromkeys(repr(row.layer) for row in left[:5]))
        yield f"{_maps(len(left))} could not be compared: {names}{', ...' * (len(left) > 5)}."


def _maps(count: int) -> str:
    return f"{count} feature map{'s' * (count != 1)}"
