"""The noise of one layer in float32."""

from __future__ import annotations

import torch

from caffe2fx.net.evaluate import StepwiseEvaluation
from caffe2fx.net.step import Step, Value
from caffe2fx.verdict.maps.measures import moved
from caffe2fx.verdict.reference.sample_by_sample import SampleBySample


def own_noise(step: Step, value: Value, exact: StepwiseEvaluation) -> float:
    """Return the largest difference between the layer in float32 and in float64."""
    index = step.tops.index(value)
    with SampleBySample():
        double, rounded = (
            step.compute(exact.values, dtype)[index] for dtype in (torch.float64, torch.float32)
        )
    return moved(rounded, double)
