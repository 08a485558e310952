"""The judged net with the layers that it lacks, as a report lists and draws it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count

from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value
from caffe2fx.verdict.structure.alignment import Alignment


def with_missing(net: Net, found: Alignment, before: Mapping[str, Sequence[Step]]) -> Net:
    """Return the net with the missing layers, each before the layer by whose name it is given.

    The empty name has those at the net's end.
    """
    mine = {partner: value for value, partner in reversed(found.values.items())}
    partners = {step.name: partner.reads for step, partner in found.pairs}
    versions = count(len(net.steps))
    lacking: dict[Value, Value] = {}
    steps: list[Step] = []
    for step in net.steps:
        for one in before.get(step.name, ()):
            steps.append(_between(one, {**mine, **lacking}, versions))
            lacking.update(zip(one.tops, steps[-1].tops, strict=True))
        pairs = zip(step.reads, partners.get(step.name, ()), strict=False)
        steps.append(step.reading({v: lacking[other] for v, other in pairs if other in lacking}))
    steps += [_between(one, mine, versions) for one in before.get("", ())]
    return replace(net, steps=tuple(steps))


def _between(step: Step, known: Mapping[Value, Value], versions: Iterator[int]) -> Step:
    """Return the reference's step with bottoms of the judged net, and tops of its own."""
    tops = tuple(Value(top.blob, next(versions)) for top in step.tops)
    bottoms = tuple(known[value] for value in step.reads if value in known)
    return replace(step, bottoms=bottoms, tops=tops, blobs=(), dynamic=())
