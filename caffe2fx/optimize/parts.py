"""Parts of patterns: the few layers into which exports decompose small functions."""

from __future__ import annotations

from math import isclose

from caffe2fx.layers import Eltwise, EltwiseOp, Power
from caffe2fx.net.step import Step, Value
from caffe2fx.optimize.view import View

FLOAT32 = 1e-7  # relative: of a value that a file states in float32


def is_near(stated: float, wanted: float) -> bool:
    """Return whether a file's float32 is the wanted value."""
    return isclose(stated, wanted, rel_tol=FLOAT32)


def affine(view: View, value: Value) -> tuple[Step, float, float] | None:
    """Return the Power that writes scale * bottom + shift, its scale (not 0) and its shift."""
    step = view.step_of(value, Power)
    if step is None:
        return None
    layer = step.layer
    assert isinstance(layer, Power)
    linear = layer.power == 1 and layer.scale != 0
    return (step, layer.scale, layer.shift) if linear else None


def negated(view: View, value: Value) -> Step | None:
    """Return the Power that writes minus its bottom."""
    found = affine(view, value)
    return found[0] if found is not None and found[1:] == (-1.0, 0.0) else None


def constant(view: View, value: Value) -> tuple[Step, float] | None:
    """Return the Power that fills its top with a constant, and the constant."""
    step = view.step_of(value, Power)
    if step is None:
        return None
    layer = step.layer
    assert isinstance(layer, Power)
    return (step, layer.shift) if layer.scale == 0 and layer.power == 1 else None


def pair(view: View, value: Value, operation: EltwiseOp) -> Step | None:
    """Return the Eltwise that writes the product or maximum of two bottoms."""
    step = view.step_of(value, Eltwise)
    return step if step is not None and combines(step, operation) else None


def combines(step: Step, operation: EltwiseOp) -> bool:
    """Return whether a step is the product or maximum (a sum may have factors) of two bottoms."""
    layer = step.layer
    fits = isinstance(layer, Eltwise) and layer.operation is operation
    return fits and len(step.bottoms) == 2


def either_way(step: Step) -> tuple[tuple[Value, Value], tuple[Value, Value]]:
    """Return the two bottoms of a step in both orders."""
    first, second = step.bottoms
    return (first, second), (second, first)
