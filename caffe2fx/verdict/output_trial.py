"""One more run of a judged net for its outputs alone: with another batch, or other settings.

The layers were judged already, so only the results of the whole run are left to compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite

import torch
from torch import Tensor

from caffe2fx.engines.base import Session
from caffe2fx.errors import CaffeError
from caffe2fx.net.evaluate import Reference, StepwiseEvaluation
from caffe2fx.net.net import Net
from caffe2fx.net.step import Value
from caffe2fx.plain_torch import plain_torch
from caffe2fx.verdict.maps.measures import difference, largest, shape_fault
from caffe2fx.verdict.result.report import Report, Row

FACTOR = 4.0  # times the limit that an output had: the reference here is itself in float32
SHARE = 1e-3  # of the largest value, where it had none


@torch.no_grad()
@plain_torch()
def with_outputs_tried(
    report: Report,
    net: Net,
    session: Session,
    reference: Reference,
    inputs: Sequence[Tensor],
    run_name: str,
) -> Report:
    """Return the report with outputs marked wrong that are not right on these inputs too.

    The engine's outputs are read by their names; `run_name` states how the run differs from the one
    that was judged, as "with a batch of 3".
    """
    floats = [value.to(torch.float32) for value in inputs]
    try:
        session.reshape([tuple(value.shape) for value in floats])
        for _ in session.run(floats):
            pass
        given = session.published()
    except (CaffeError, RuntimeError, ValueError, IndexError) as error:  # Caffe's, and torch's
        return _all_wrong(report, net, f"{run_name} the net does not run: {error}")
    exact = _outputs(net, reference, floats)
    limits = {row.blob: row.end_to_end_limit for row in report.rows}
    faults = {
        value.blob: f"{run_name} {fault}"
        for value, wanted in exact.items()
        if (fault := _fault(value.blob, given, wanted, limits.get(value.blob, 0.0)))
    }
    return report.with_rows(_with(row, faults) for row in report.rows)


def _outputs(net: Net, reference: Reference, inputs: Sequence[Tensor]) -> dict[Value, Tensor]:
    stream, found = StepwiseEvaluation(net, reference, inputs), {}
    for step in net.steps:
        stream.enter(step)
        found.update({top: stream.values[top] for top in step.tops if top in net.outputs})
        stream.leave(step)
    return found


def _fault(name: str, given: Mapping[str, Tensor], wanted: Tensor, limit: float) -> str:
    if name not in given:
        return f"it needs to be an output in the engine, got {', '.join(given) or 'none'}"
    if shape := shape_fault(given[name], wanted):
        return shape
    least = SHARE * largest(wanted)
    allowed = max(FACTOR * limit, least) if isfinite(limit) else least
    error = difference(given[name], wanted)
    return "" if error <= allowed else f"it errs by {error:.2e}"


def _all_wrong(report: Report, net: Net, why: str) -> Report:
    faults = {value.blob: why for value in net.outputs}
    return report.with_rows(_with(row, faults) for row in report.rows)


def _with(row: Row, faults: Mapping[str, str]) -> Row:
    fault = faults.get(row.blob, "")
    return replace(row, wrong=fault) if fault and not row.wrong else row
