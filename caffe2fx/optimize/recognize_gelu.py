"""Recognize GELU, which in Caffe is x * sigmoid(x * P(x * x)), P a polynomial."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe2fx.layers import EltwiseOp, Sigmoid
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value
from caffe2fx.optimize.parts import affine, combines, either_way, pair
from caffe2fx.optimize.records import TorchGELU
from caffe2fx.optimize.rewriting import Match, rewritten
from caffe2fx.optimize.view import View

FORMS = ("none", "tanh")
ERROR = 4e-7  # of float32: the error of a polynomial that is meant to be gelu


def recognize_gelu(net: Net) -> Net:
    """Write x * sigmoid(x * P(x * x)) as gelu where the polynomial P makes it that.

    before: square = x * x, inner = x * (... (c2 * square + c1) * square + c0), x * Sigmoid(inner)
    after:  gelu
    """
    return rewritten(net, _match)


def _match(view: View, step: Step) -> Match | None:
    if not combines(step, EltwiseOp.PROD):
        return None
    for value, other in either_way(step):
        gate = view.step_of(other, Sigmoid)
        inner = None if gate is None else pair(view, gate.bottoms[0], EltwiseOp.PROD)
        for first, slope in () if inner is None else either_way(inner):
            found = _polynomial(view, slope, value) if first == value else None
            form = None if found is None else _form(found[1])
            if gate and inner and found and form:
                return Match((*found[0], inner, gate), TorchGELU(approximate=form), (value,))
    return None


def _polynomial(view: View, slope: Value, value: Value) -> tuple[list[Step], list[float]] | None:
    """Return the steps of Horner's scheme in value * value, and its factors, constant first."""
    steps: list[Step] = []
    factors: list[float] = []
    while (line := affine(view, slope)) is not None:
        power, scale, shift = line
        square = pair(view, power.bottoms[0], EltwiseOp.PROD)
        if square is None:
            return None
        steps += [power, square]
        factors.append(shift)
        if square.bottoms == (value, value):
            return steps, [*factors, scale]
        if scale != 1:
            return None
        found = _times_square(view, square, value)
        if found is None:
            return None
        slope = found
    return None


def _times_square(view: View, product: Step, value: Value) -> Value | None:
    """Return the other bottom of a product with value * value."""
    for other, maybe in either_way(product):
        square = pair(view, maybe, EltwiseOp.PROD)
        if square is not None and square.bottoms == (value, value):
            return other
    return None


def _form(factors: Sequence[float]) -> str | None:
    """Return which gelu the polynomial with these factors, constant first, makes."""
    if factors[-1] <= 0:
        return None  # the gate of a large x would not be 1
    far = torch.logspace(1, 4, 1000, dtype=torch.float64)
    x = torch.cat([torch.linspace(-10, 10, 4001, dtype=torch.float64), far, -far])
    made = x * torch.sigmoid(x * _horner(x * x, factors))
    return next((form for form in FORMS if _is_close(made, F.gelu(x, approximate=form))), None)


def _horner(square: Tensor, factors: Sequence[float]) -> Tensor:
    top = torch.full_like(square, factors[-1])
    for factor in reversed(factors[:-1]):
        top = top * square + factor
    return top


def _is_close(made: Tensor, wanted: Tensor) -> bool:
    return bool((made - wanted).abs().max() <= ERROR)
