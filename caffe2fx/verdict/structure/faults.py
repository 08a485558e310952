"""Faults of a net's structure: a layer that is missing, or one more, changes what others read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

import torch
from torch import Tensor

from caffe2fx.net.evaluate import Reference, StepwiseEvaluation
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value
from caffe2fx.verdict.maps.measures import alone_limit, largest, moved
from caffe2fx.verdict.structure.alignment import Alignment
from caffe2fx.verdict.structure.partners import Pair

Sides = tuple[list[Tensor], list[Tensor]]


@dataclass
class Structure:
    """Holds the layers that make others read something else than their partners read.

    `missing` are tops of the reference's layers, `added` names of the judged net's. `readers` are
    the layers that read another value for them: each with the values that its partner reads and
    gives, or None where those that it reads itself are of other shapes.
    """

    missing: set[Value] = field(default_factory=set)
    added: set[str] = field(default_factory=set)
    readers: dict[str, Sides | None] = field(default_factory=dict)


class _Side:
    """Holds a net, its layers without a partner, and the values around them."""

    def __init__(self, net: Net, alone: Iterable[Step], read: Iterable[Value]) -> None:
        self.net, self._alone = net, {id(step) for step in alone}
        self._makers = net.producers()
        of_alone = [v for step in net.steps if id(step) in self._alone for v in _around(step)]
        self.wanted = {*read, *of_alone}
        self.values: dict[Value, Tensor] = {}

    def keep(self, pairs: Iterable[tuple[Value, Tensor]]) -> None:
        """Keep the values that are wanted."""
        self.values.update((value, tensor) for value, tensor in pairs if value in self.wanted)

    def of(self, values: Iterable[Value]) -> list[Tensor]:
        """Return the tensors of values."""
        return [self.values[value] for value in values]

    def maker(self, value: Value) -> list[Step]:
        """Return the layer that makes a value, if it has no partner."""
        step = self._makers.get(value)
        return [step] if step is not None and id(step) in self._alone else []

    def makers(self, value: Value) -> Iterator[Step]:
        """Yield the layers without a partner through which a value came, if they change it."""
        for step in self.maker(value):
            yield from self._changing(step, value)

    def _changing(self, step: Step, value: Value) -> Iterator[Step]:
        first = self.values.get(step.reads[0]) if len(step.reads) == 1 else None
        if first is None or not same(first, self.values[value]):
            yield step
        for read in step.reads:
            yield from self.makers(read)


def _around(step: Step) -> tuple[Value, ...]:
    return (*step.reads, *step.tops)


def _names(steps: Iterable[Step]) -> set[str]:
    return {step.name for step in steps}


def _tops(steps: Iterable[Step]) -> set[Value]:
    return {top for step in steps for top in step.tops}


def same(one: Tensor, two: Tensor) -> bool:
    """Return whether two maps have the same elements in the same order, but for rounding."""
    if one.numel() != two.numel():
        return False
    size = largest(two)
    return bool(moved(one.reshape(-1), two.reshape(-1)) <= alone_limit(size, 1, size))


@torch.no_grad()
def structure(
    judged: Net,
    reference: Net,
    found: Alignment,
    runs: tuple[Reference, Reference],
    inputs: tuple[Sequence[Tensor], Sequence[Tensor]],
    wrong: Collection[str],
) -> Structure:
    """Return which layers without a partner are faults: those that change what a layer reads.

    `runs` and `inputs` are of the judged net and of the reference, `wrong` the layers that differ.
    """
    result = Structure()
    if not found.added and not found.missing:
        return result
    rewired = [pair for pair in found.rewired if pair[0].name in wrong]
    mine = _Side(judged, found.added, [v for step, _ in rewired for v in step.reads])
    theirs = _Side(reference, found.missing, [v for _, step in rewired for v in _around(step)])
    new = {value for value, _ in found.new_outputs}
    mine.keep(_evaluated(judged, _without(new, runs[0]), inputs[0]))
    theirs.keep(runs[1].run(inputs[1]))
    for pair in rewired:
        _blame(pair, mine, theirs, result)
    for value, partner in found.new_outputs:
        _blame_output(value, partner, mine, theirs, wrong, result)
    for value in found.missing_outputs:
        result.missing |= _tops(theirs.makers(value)) or _tops(theirs.maker(value))
    for value in found.extra:
        result.added |= _names(mine.makers(value))
    return result


def _without(unknown: set[Value], run: Reference) -> Reference:
    """Return a reference that does not know some values, so that their layers compute them."""
    return Reference(
        set(run.known) - unknown,
        lambda inputs: (pair for pair in run.run(inputs) if pair[0] not in unknown),
    )


def _evaluated(
    net: Net, run: Reference, inputs: Sequence[Tensor]
) -> Iterator[tuple[Value, Tensor]]:
    stream = StepwiseEvaluation(net, run, inputs)
    for step in net.steps:
        stream.enter(step)
        yield from ((top, stream.values[top]) for top in step.tops)
        stream.leave(step)


def _blame(pair: Pair, mine: _Side, theirs: _Side, result: Structure) -> None:
    """Note the layers without a partner that make the pair's bottoms differ."""
    step, partner = pair
    missing, added = set[Value](), set[str]()
    for got, read in zip_longest(step.reads, partner.reads):
        if None in (got, read) or not same(mine.values[got], theirs.values[read]):
            missing |= _tops(theirs.makers(read))
            added |= _names(mine.makers(got))
    result.missing |= missing
    result.added |= added
    if missing or added:
        wanted, tops = (theirs.of(values) for values in (partner.reads, partner.tops))
        fits = [v.shape for v in wanted] == [v.shape for v in mine.of(step.reads)]
        result.readers[step.name] = (wanted, tops) if fits else None


def _blame_output(
    value: Value,
    partner: Value,
    mine: _Side,
    theirs: _Side,
    wrong: Collection[str],
    found: Structure,
) -> None:
    """Note the layers without a partner that make an output, where it differs."""
    for step in mine.maker(value):
        if step.name in wrong:
            found.added |= _names(mine.makers(value))
            found.missing |= _tops(theirs.makers(partner))
            found.readers.update({step.name: None} if step.name not in found.added else {})


def places(judged: Net, reference: Net, found: Alignment) -> dict[str, list[Step]]:
    """Return the missing layers by the name of the first judged layer that depends on them.

    Their names are no other layers' of the judged net.
    """
    taken = {step.name for step in judged.steps}
    indices = {id(step): index for index, step in enumerate(judged.steps)}
    of_partner = {id(partner): indices[id(step)] for step, partner in found.pairs}
    first: dict[Value, int] = {}
    last = len(judged.steps)
    before: dict[str, list[Step]] = {}
    missing = {id(step) for step in found.missing}
    for step in reversed(reference.steps):
        default = min((first.get(top, last) for top in step.tops), default=last)
        index = of_partner.get(id(step), default)
        first.update((value, min(index, first.get(value, last))) for value in step.reads)
        if id(step) in missing:
            name = judged.steps[index].name if index < last else ""
            before.setdefault(name, []).insert(0, _named_apart(step, taken))
    return before


def _named_apart(step: Step, taken: Collection[str]) -> Step:
    return replace(step, name=f"{step.name} (reference)") if step.name in taken else step
