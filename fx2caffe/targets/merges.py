"""Merges of two layers by which a program computes something else than the two layers.

Each function takes a layer and its only reader, and returns whether they are merged so.
"""

from __future__ import annotations

from caffe2fx.layers import BatchNorm, Power, Scale
from caffe2fx.net.step import Step


def factor_into_power(first: Step, second: Step) -> bool:
    """Return whether OpenCV 4 merges (s x)^p + b into (s^p a x + b)^p (a Power without a shift)."""
    power = first.layer
    if not isinstance(power, Power) or power.power == 1 or power.shift != 0:
        return False
    return _is_one_affine_map(second)


def _is_one_affine_map(step: Step) -> bool:
    """Return whether a layer multiplies all elements by one factor, or adds one constant to all."""
    if isinstance(step.layer, Power):
        return step.layer.power == 1
    is_affine = isinstance(step.layer, BatchNorm | Scale) and len(step.bottoms) == 1
    return is_affine and step.blobs[0].numel() == 1
