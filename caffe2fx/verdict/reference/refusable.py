"""An evaluation on inputs that the model may refuse."""

from __future__ import annotations

from caffe2fx.net.evaluate import StepwiseEvaluation
from caffe2fx.net.step import Step


class RefusedInputs(Exception):
    """Raised if the reference does not take the second inputs."""


class Refusable(StepwiseEvaluation):
    """Computes the values on the second inputs, which the model may refuse by its own errors."""

    def enter(self, step: Step) -> None:
        try:
            super().enter(step)
        except Exception as error:
            raise RefusedInputs from error
