"""The weights of the layers in question, in the judged net and in the reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value
from caffe2fx.verdict.result.context import Parameters, parameters
from caffe2fx.verdict.result.findings import Findings, Kind

MOST = 6  # layers


def layers_in_question(report: Findings) -> list[str]:
    """Return the first layers that are at fault themselves."""
    names = (row.layer for row in report.rows if report.kind(row) is Kind.FAULT)
    return list(dict.fromkeys(names))[:MOST]


def weights_of(
    report: Findings,
    judged: Callable[[], Net],
    reference: Net,
    partners: Mapping[Value, Value] | None = None,
) -> dict[str, Parameters]:
    """Return the weights of the layers in question on both sides; `judged` is read only if asked.

    `partners` are the values of the reference for those of the judged net; by default the same.
    """
    wanted = layers_in_question(report)
    if not wanted:
        return {}
    makers = reference.producers()
    steps = {step.name: step for step in judged().steps}
    found = {}
    for name in wanted:
        other = _partner(steps[name], makers, partners) if name in steps else None
        if other is not None and (other.blobs or steps[name].blobs):
            found[name] = parameters(other.blobs, steps[name].blobs)
    return found


def _partner(
    step: Step, makers: Mapping[Value, Step], partners: Mapping[Value, Value] | None
) -> Step | None:
    tops = (top if partners is None else partners.get(top) for top in step.tops)
    return next((makers[top] for top in tops if top is not None and top in makers), None)
