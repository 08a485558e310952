"""The errors that the engine's layers make alone, carried through the net to its end.

Where one element of a map carries all of its error, as the larger of two nearly equal ones after a
softmax, what is carried to it is one draw from chance, which may be small. Errors of the same sizes
and of random signs are further draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from operator import attrgetter

import torch
from torch import Tensor

from caffe2fx.net.evaluate import StepwiseEvaluation, own_reference
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step
from caffe2fx.verdict.maps.measures import end_limit, moved
from caffe2fx.verdict.result.report import Row, Status

DRAWS = 8  # of signs
CHANCE = 10.0  # times its limit, an error that further draws may explain
Judged = Callable[["CarriedErrors"], Iterable[Row]]


def with_carried_errors(
    rows: Sequence[Row], judged: Judged, net: Net, inputs: Sequence[Tensor]
) -> Sequence[Row]:
    """Return the rows, with limits for carried errors where one differs end to end alone.

    `judged` judges all rows again, while a set of errors is carried along.
    """
    if any(_differs_at_the_end(row) for row in rows):
        rows = list(judged(CarriedErrors(net, inputs)))
    for seed in range(DRAWS):
        if not _may_be_chance(rows):
            break
        signs = torch.Generator().manual_seed(seed)
        rows = list(map(_wider, rows, judged(CarriedErrors(net, inputs, signs))))
    return rows


def _differs_at_the_end(row: Row) -> bool:
    return row.status is Status.DIFFERS and not row.diverges and not row.wrong


def _may_be_chance(rows: Sequence[Row]) -> bool:
    """Return whether all that differs does so end to end, and by little."""
    wrong = [row for row in rows if row.status is Status.DIFFERS]
    return bool(wrong) and all(_differs_at_the_end(row) and row.share <= CHANCE for row in wrong)


def _wider(one: Row, two: Row) -> Row:
    return max(one, two, key=attrgetter("end_to_end_limit"))


class CarriedErrors:
    """Holds the net's values with the errors that each of the engine's layers adds to them.

    A generator draws the sign of each error.
    """

    def __init__(
        self, net: Net, inputs: Sequence[Tensor], signs: torch.Generator | None = None
    ) -> None:
        self._signs = signs
        self._stream = StepwiseEvaluation(
            net, own_reference(net), [value.double() for value in inputs]
        )

    def enter(self, step: Step) -> None:
        """Compute a step that adds no errors."""
        self._stream.enter(step)
        self._stream.leave(step)

    def rows(
        self,
        step: Step,
        rows: Sequence[Row],
        alone: Sequence[Tensor | None],
        exact: StepwiseEvaluation,
    ) -> Iterator[Row]:
        """Yield the step's rows with limits for earlier errors, and add the step's own errors."""
        self._stream.enter(step)
        values = self._stream.values
        meant = step.compute(exact.values, torch.float64)
        for value, row, top, straight in zip(step.tops, rows, alone, meant, strict=True):
            true = exact.values[value]
            # An error beyond its limit is a fault, which excuses none that come after it.
            own = true if row.diverges or top is None else top
            made = self._signed(own, true) + (values[value] - straight)
            values[value] = torch.where(made.isfinite(), made, true)
            limit = end_limit(moved(values[value], true), row.signal)
            yield replace(row, end_to_end_limit=max(row.end_to_end_limit, limit))
        self._stream.leave(step)

    def _signed(self, own: Tensor, true: Tensor) -> Tensor:
        """Return the engine's map, with the errors' signs drawn anew where there is a generator."""
        if self._signs is None:
            return own
        keep = torch.rand(true.shape, generator=self._signs) < 0.5
        return torch.where(keep, own, 2 * true - own)
