"""Recognize a layer norm, which in Caffe is mean, centring, variance and scaling."""

from __future__ import annotations

from math import prod

from caffe2fx.layers import Bias, Power, Reduction, ReductionOp, Scale
from caffe2fx.layers.layer import axis_of
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value
from caffe2fx.optimize.parts import is_near
from caffe2fx.optimize.records import TorchLayerNorm
from caffe2fx.optimize.rewriting import Match, rewritten
from caffe2fx.optimize.view import View


def recognize_layer_norm(net: Net) -> Net:
    """Write (x - mean) / sqrt(variance + eps) * weight + bias over the last axes as one layer.

    before: Reduction MEAN, Bias, Reduction SUMSQ, Power{power: -0.5}, Scale, Scale
    after:  layer_norm
    """
    return rewritten(net, _match)


def _match(view: View, step: Step) -> Match | None:
    layer = step.layer
    if not isinstance(layer, Scale) or len(step.bottoms) != 1 or not layer.bias_term:
        return None
    normal = view.step_of(step.bottoms[0], Scale)
    if normal is None or len(normal.bottoms) != 2 or normal.layer != Scale(axis=0):
        return None
    centred, inverse = view.step_of(normal.bottoms[0], Bias), view.step_of(normal.bottoms[1], Power)
    if centred is None or inverse is None or not _is_root(inverse, centred.layer):
        return None
    axis = axis_of(layer.axis, len(view.shape(step.tops[0])))
    variance = _reduction(view, inverse.bottoms[0], axis, ReductionOp.SUMSQ)
    mean = _reduction(view, centred.bottoms[-1], axis, ReductionOp.MEAN)
    if variance is None or mean is None or layer.num_axes != -1 or axis < 1:
        return None
    if variance.bottoms != centred.tops or mean.bottoms != centred.bottoms[:1]:
        return None
    assert isinstance(inverse.layer, Power)
    record = TorchLayerNorm(axis=axis, eps=inverse.layer.shift)
    inner = (mean, centred, variance, inverse, normal)
    return Match(inner, record, mean.bottoms, step.blobs)


def _is_root(inverse: Step, centring: object) -> bool:
    """Return whether 1 / sqrt(x + eps) is computed, and centring adds along the first axes."""
    layer = inverse.layer
    assert isinstance(layer, Power)
    return layer == Power(power=-0.5, shift=layer.shift) and centring == Bias(axis=0)


def _reduction(view: View, value: Value, axis: int, operation: ReductionOp) -> Step | None:
    """Return the step of minus the mean, or of the mean of squares, over axes from `axis` on."""
    step = view.step_of(value, Reduction)
    if step is None:
        return None
    layer, bottom = step.layer, view.shape(step.bottoms[0])
    assert isinstance(layer, Reduction)
    factor = -1.0 if operation is ReductionOp.MEAN else 1 / prod(bottom[axis:])
    fits = layer.operation is operation and axis_of(layer.axis, len(bottom)) == axis
    return step if fits and is_near(layer.coeff, factor) else None
