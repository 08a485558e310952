"""NaN and infinities that Caffe may lose, where its results are an accident of its BLAS."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from caffe2fx.net.step import Step, Value

Given = Mapping[Value, Tensor]


class LostNan:
    """Carries through a net the values of a Caffe that loses NaN, where they are others.

    `faults` holds each of the `known` values that differ there, with the constraint that the first
    layer to lose some states; `hidden` are the others that differ, of which no result need depend.
    Nothing is computed as long as all elements are finite.
    """

    def __init__(self, known: Collection[Value]) -> None:
        self.faults: dict[Value, str] = {}
        self.hidden: set[Value] = set()
        self._known = known
        self._others: dict[Value, tuple[Tensor, str]] = {}

    def enter(self, step: Step, values: Given) -> None:
        """Compute the step's other tops, if it has some; `values` holds its reads and its tops."""
        needs = next((self._others[v][1] for v in step.reads if v in self._others), "")
        needs = needs or _broken_need(step, values)
        if not needs:
            return
        others = {value: self._others.get(value, (values[value],))[0] for value in step.reads}
        dtype = next(iter(others.values())).dtype
        tops = step.compute(others, dtype, losing_nan=True)
        for value, other in zip(step.tops, tops, strict=True):
            if not alike(other, values[value]):
                self._others[value] = other, needs
                if value in self._known:
                    self.faults[value] = f"{needs}, got some"
                else:
                    self.hidden.add(value)


def _broken_need(step: Step, values: Given) -> str:
    """Return the constraint of a step that reads elements which are not finite, if it has one."""
    needs = step.layer.nan_needs
    return needs if needs and not all(_is_finite(values[value]) for value in step.reads) else ""


def _is_finite(value: Tensor) -> bool:
    return bool(value.isfinite().all())


def alike(found: Tensor, wanted: Tensor) -> bool:
    """Return whether two maps are the same but for rounding, equal NaN and infinities included."""
    wanted = wanted.to(found.dtype).reshape(found.shape)
    return torch.allclose(found, wanted, rtol=1e-3, atol=1e-4, equal_nan=True)
