"""The errors that the engine's layers make alone, carried through the net to its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from caffe2fx.net.evaluate import StepwiseEvaluation, own_reference
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step
from caffe2fx.verdict.maps.measures import end_limit, moved
from caffe2fx.verdict.result.report import Row


class CarriedErrors:
    """Holds the net's values with the errors that each of the engine's layers adds to them."""

    def __init__(self, net: Net, inputs: Sequence[Tensor]) -> None:
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
            made = own + (values[value] - straight)
            values[value] = torch.where(made.isfinite(), made, true)
            limit = end_limit(moved(values[value], true), row.signal)
            yield replace(row, end_to_end_limit=max(row.end_to_end_limit, limit))
        self._stream.leave(step)
