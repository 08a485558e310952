"""Verification around placeholders, whose tops are taken from the reference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf

from torch import Tensor

from caffe2fx.layers import Input
from caffe2fx.net.evaluate import Reference, complete
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value
from caffe2fx.verdict.result.report import Report, Row
from fx2caffe.legalize.placeholders import Unverified


class FedPlaceholders:
    """Holds a net whose placeholders are Inputs, and the reference that feeds those."""

    def __init__(self, net: Net, unverified: Sequence[Unverified], reference: Reference) -> None:
        self._whole, self._of_model = net, reference
        self._by_layer = {one.layer: one for one in unverified}
        steps = tuple(self._as_input(step) for step in net.steps)
        self.net = replace(net, steps=steps)

    def _as_input(self, step: Step) -> Step:
        if step.name not in self._by_layer:
            return step
        shapes = step.top_shapes([])
        return replace(step, layer=Input(shape=shapes), bottoms=(), blobs=(), params=())

    def fed(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return the inputs of the changed net: the model's own, and the placeholders' tops."""
        known = self._known_for(values)
        return [known[value] for value in self.net.inputs]

    def as_reference(self) -> Reference:
        """Return a reference that runs on the model's own inputs, from which the others follow."""

        def run(inputs: Sequence[Tensor]) -> Iterable[tuple[Value, Tensor]]:
            given = dict(zip(self.net.inputs, inputs, strict=True))
            return self._known_for([given[value] for value in self._whole.inputs]).items()

        return Reference({*self._of_model.known, *self.net.inputs}, run)

    def _known_for(self, values: Sequence[Tensor]) -> dict[Value, Tensor]:
        """Return the reference's values, and those of every placeholder's tops."""
        known = dict(self._of_model.run(values))
        missing = [top for step in self._placeholders() for top in step.tops if top not in known]
        if missing:
            found = complete(self._with_meanings(known, values), known)
            known.update({top: found[top] for top in missing})
        return known

    def _placeholders(self) -> Iterator[Step]:
        return (step for step in self._whole.steps if step.name in self._by_layer)

    def _with_meanings(self, known: Mapping[Value, Tensor], values: Sequence[Tensor]) -> Net:
        """Return the net with the refused records in place of the placeholders.

        The tops of operations without a record are known, unless nothing reads them.
        """
        steps = []
        for step in self._whole.steps:
            one = self._by_layer.get(step.name)
            if one is not None:
                step = replace(step, layer=one.step.layer, blobs=one.step.blobs)
            steps.append(step)
        return replace(self._whole, steps=tuple(steps))

    def report(self, judged: Report) -> Report:
        """Return the report with a row for each placeholder, in the net's order."""
        rows = {row.layer: [r for r in judged.rows if r.layer == row.layer] for row in judged.rows}
        ordered: list[Row] = []
        for step in self._whole.steps:
            ordered += self._rows(step) if step.name in self._by_layer else rows.get(step.name, [])
        return judged.with_rows(ordered)

    def _rows(self, step: Step) -> list[Row]:
        one, shapes = self._by_layer[step.name], step.top_shapes([])
        return [
            Row(
                layer=step.name,
                type=step.layer.type,
                blob=top.blob,
                shape=shape,
                signal=0.0,
                alone=None,
                alone_limit=inf,
                end_to_end=None,
                end_to_end_limit=inf,
                origin=step.origin,
                unverified=f"{one.op} {one.reason}",
            )
            for top, shape in zip(step.tops, shapes, strict=True)
        ]
