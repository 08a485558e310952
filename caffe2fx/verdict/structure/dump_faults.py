"""Layers that are missing, or one more, in a net that is compared with a dump.

A dump has maps and no layers. But where a layer's own result differs, another map may be the one
that it should read: if the layer is right with that one, the layers between the two are the fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor

from caffe2fx.files.feature_dump import FeatureMap
from caffe2fx.files.match_maps import Matched, fitted
from caffe2fx.net.evaluate import StepwiseEvaluation
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value
from caffe2fx.verdict.maps.measures import difference
from caffe2fx.verdict.maps.similarity import similarity
from caffe2fx.verdict.result.dump_report import MapRow, Thresholds
from caffe2fx.verdict.result.findings import unmeasured

MOST = 64  # maps that are tried for one layer, each by a run of it


@dataclass(frozen=True)
class _Candidate:
    """Holds a map that a layer may have to read, and the fault if it has to.

    That is a map of the dump which no layer of the net makes, or the layers after the map.
    """

    value: Tensor
    missing: FeatureMap | None = None
    added: tuple[Step, ...] = ()


@torch.no_grad()
def with_structure(
    rows: Sequence[MapRow],
    net: Net,
    matched: Matched,
    stream: StepwiseEvaluation,
    thresholds: Thresholds | None,
) -> list[MapRow]:
    """Return the rows, with a row before each reader of a missing layer; `stream` is not yet begun.

    Readers that are right with another map follow from the layers that are missing or one more.
    """
    wrong = {row.layer: row for row in rows if row.diverges}
    found: dict[str, tuple[_Candidate, MapRow]] = {}
    for step in net.steps if wrong else ():
        stream.enter(step)
        if step.name in wrong and len(step.tops) == 1 and step.tops[0] in matched.values:
            trials = _trials(step, net, matched, stream.values, wrong[step.name])
            right = (pair for pair in trials if not _fault(pair[1], thresholds))
            found.update((step.name, pair) for pair in islice(right, 1))
        stream.leave(step)
    added = {step.name: name for name, (one, _) in found.items() for step in one.added}
    return [one for row in rows for one in _rows(row, found, added)]


def _fault(row: MapRow, thresholds: Thresholds | None) -> str:
    """Return why the layer itself is still at fault, empty if it is not."""
    if thresholds is not None:
        return thresholds.fault(row.found_alone)
    return "differs" if row.diverges else ""


def _trials(
    step: Step, net: Net, matched: Matched, values: Mapping[Value, Tensor], row: MapRow
) -> Iterator[tuple[_Candidate, MapRow]]:
    """Yield the maps that a step's bottoms may have to be, and its row with each of them."""
    for value in dict.fromkeys(step.reads):
        for candidate in islice(_candidates(value, net, matched, values[value]), MOST):
            given = {**values, value: candidate.value.to(values[value].dtype)}
            (top,) = step.compute(given, values[value].dtype)
            theirs = matched.values[step.tops[0]]
            error, alone = difference(top, theirs), similarity(top, theirs)
            yield candidate, replace(row, alone=error, found_alone=alone, at_fault=False)


def _candidates(value: Value, net: Net, matched: Matched, present: Tensor) -> Iterator[_Candidate]:
    """Yield the maps of a value's shape: those that no layer makes, and those before new layers."""
    makers = net.producers()
    between: list[Step] = []
    while value not in matched.values and len(makers[value].reads) == 1:
        between.append(makers[value])
        (value,) = makers[value].reads
        known = matched.values.get(value)
        if known is not None and known.shape == present.shape:
            yield _Candidate(known, added=tuple(between))
    for one in matched.left:
        array = fitted(one.value, tuple(present.shape), one.layout)
        if array is not None:
            yield _Candidate(torch.tensor(array), missing=one)


def _rows(
    row: MapRow, found: Mapping[str, tuple[_Candidate, MapRow]], added: Mapping[str, str]
) -> Iterator[MapRow]:
    """Yield a row as its layer's fault is known now, after that of a layer which is missing."""
    if row.layer in added:
        wrong = f"the dump has no such layer: layer {added[row.layer]!r} is right without it"
        row = replace(row, unverified="", wrong=wrong, at_fault=True)
    candidate, right = found.get(row.layer, (None, row))
    if candidate is not None and candidate.missing is not None:
        yield _missing(candidate.missing, row.layer)
    yield right if row.layer in found else row


def _missing(one: FeatureMap, reader: str) -> MapRow:
    return unmeasured(
        MapRow,
        one.layer or one.name,
        "",
        one.blob or one.name,
        tuple(one.value.shape),
        wrong=f"the net has no such layer: layer {reader!r} is right with its map in the dump",
        at_fault=True,
    )
