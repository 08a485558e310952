"""Losses between two tensors: a vector quantizer returns them in inference too."""

from __future__ import annotations

import torch.nn.functional as F

from caffe2fx.layers import AbsVal, Power, ReLU
from fx2caffe.ir.binary import BinaryOp
from fx2caffe.ir.constants import as_symbol
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.reduce import ReduceOp
from fx2caffe.ir.symbol import Operand, Symbol
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.activation import logsigmoid
from fx2caffe.ops.blocks import (
    affine,
    clipped,
    difference,
    extreme,
    inside,
    product,
    quotient,
    weighted_sum,
)
from fx2caffe.ops.exponential import exp, log, log1p, xlogy
from fx2caffe.ops.reduction import reduced


@handles(F.mse_loss)
def mse_loss(
    net: Emitter,
    input: Operand,
    target: Operand,
    reduction: str = "mean",
    weight: Operand | None = None,
) -> Symbol:
    """Compute (x - t)^2."""
    apart = difference(net, input, target, "difference")
    each = net.add(Power(power=2), apart, suffix="squares")
    return _weighted_mean(net, each, weight, reduction)


@handles(F.l1_loss)
def l1_loss(
    net: Emitter,
    input: Operand,
    target: Operand,
    reduction: str = "mean",
) -> Symbol:
    """Compute |x - t|."""
    each = _distance(net, input, target)
    return reduced_loss(net, each, reduction)


@handles(F.smooth_l1_loss)
def smooth_l1_loss(
    net: Emitter,
    input: Operand,
    target: Operand,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Symbol:
    """Compute d^2 / (2 beta) for distances d below beta, d - beta / 2 from there on."""
    each = _distance(net, input, target)
    if beta:
        each = affine(net, _rounded_off(net, each, beta), 1 / beta, suffix="each")
    return reduced_loss(net, each, reduction)


@handles(F.huber_loss)
def huber_loss(
    net: Emitter,
    input: Operand,
    target: Operand,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Operand | None = None,
) -> Symbol:
    """Compute d^2 / 2 for distances d below delta, delta (d - delta / 2) from there on."""
    each = _rounded_off(net, _distance(net, input, target), delta)
    return reduced_loss(net, _weighted(net, each, weight), reduction)


@handles(F.soft_margin_loss)
def soft_margin_loss(
    net: Emitter,
    input: Operand,
    target: Operand,
    reduction: str = "mean",
) -> Symbol:
    """Compute log(1 + exp(-t x)) as max(-t x, 0) + log(1 + exp(-|t x|)), which never overflows.

    torch's own float32 is infinite where t x is below -88.
    """
    against = affine(net, product(net, input, target, "products"), -1, suffix="against")
    size = net.add(AbsVal(), against, suffix="size")
    shrunk = inside(net, "exp", exp, affine(net, size, -1, suffix="negative_size"))
    above_zero = net.add(ReLU(), against, suffix="largest")
    each = weighted_sum(net, above_zero, inside(net, "more", log1p, shrunk), suffix="each")
    return reduced_loss(net, each, reduction)


@handles(F.binary_cross_entropy)
def binary_cross_entropy(
    net: Emitter,
    input: Operand,
    target: Operand,
    weight: Operand | None = None,
    reduction: str = "mean",
) -> Symbol:
    """Compute -t log(x) - (1 - t) log(1 - x), each logarithm at least -100."""
    input = as_symbol(net, input, suffix="likelihoods")
    yes = clipped(net, inside(net, "log", log, input), -100, None, "likely")
    no = clipped(
        net,
        inside(net, "other_log", log1p, affine(net, input, -1, suffix="other")),
        -100,
        None,
        "unlikely",
    )
    # t (yes - no) + no
    gained = product(net, difference(net, yes, no, "apart"), target, "gained")
    each = weighted_sum(net, gained, no, (-1.0, -1.0), "each")
    return reduced_loss(net, _weighted(net, each, weight), reduction)


@handles(F.binary_cross_entropy_with_logits)
def binary_cross_entropy_with_logits(
    net: Emitter,
    input: Operand,
    target: Operand,
    weight: Operand | None = None,
    reduction: str = "mean",
    pos_weight: Operand | None = None,
) -> Symbol:
    """Compute (1 - t) x + (1 + (w - 1) t) log(1 + exp(-x)), w being the positive weight."""
    input = as_symbol(net, input, suffix="scores")
    likely = inside(net, "likely", logsigmoid, input)
    if pos_weight is not None:
        more = _extra(net, pos_weight, target)
        likely = weighted_sum(net, likely, product(net, likely, more, "extra"), suffix="positive")
    missed = difference(net, input, product(net, input, target, "products"), "missed")
    each = difference(net, missed, likely, "each")
    return reduced_loss(net, _weighted(net, each, weight), reduction)


def _extra(net: Emitter, weight: Operand, target: Operand) -> Operand:
    """Return (w - 1) t, which is constant where both are."""
    less = affine(net, weight, 1, -1, "less") if isinstance(weight, Symbol) else weight - 1
    if isinstance(less, Symbol) or isinstance(target, Symbol):
        return product(net, less, target, "more")
    return less * target


@handles(F.kl_div)
def kl_div(
    net: Emitter,
    input: Operand,
    target: Operand,
    reduction: str = "mean",
    log_target: bool = False,
) -> Symbol:
    """Compute t (log(t) - x), 0 where t is 0; for logarithms of t, exp(t) (t - x)."""
    if log_target:
        share = inside(net, "share", exp, target) if isinstance(target, Symbol) else target.exp()
        each = product(net, difference(net, target, input, "difference"), share, "each")
    elif isinstance(target, Symbol):
        own = inside(net, "own", xlogy, target, target)
        each = difference(net, own, product(net, target, input, "products"), "each")
    else:
        each = difference(
            net, target.xlogy(target), product(net, input, target, "products"), "each"
        )
    if reduction == "batchmean":
        rest = tuple(range(1, each.rank))
        each = reduced(net, ReduceOp.SUM, each, rest, suffix="samples") if rest else each
        reduction = "mean"
    return reduced_loss(net, each, reduction)


def _distance(net: Emitter, input: Operand, target: Operand) -> Symbol:
    return net.add(AbsVal(), difference(net, input, target, "difference"), suffix="distance")


def _rounded_off(net: Emitter, distance: Symbol, bound: float) -> Symbol:
    """Compute m (d - m / 2) with m = min(d, bound), which needs no choice between two forms."""
    near = extreme(net, BinaryOp.MIN, distance, bound, "near")
    rest = weighted_sum(net, distance, near, (1.0, -0.5), "rest")
    return product(net, near, rest, "rounded_off")


def _weighted(net: Emitter, each: Symbol, weight: Operand | None) -> Symbol:
    return each if weight is None else product(net, each, weight, "weighted")


def _weighted_mean(net: Emitter, each: Symbol, weight: Operand | None, reduction: str) -> Symbol:
    """Reduce weighted losses; their mean is divided by the sum of the weights."""
    weighted = _weighted(net, each, weight)
    if weight is None or reduction != "mean":
        return reduced_loss(net, weighted, reduction)
    total = reduced_loss(net, weighted, "sum", "total")
    if not isinstance(weight, Symbol):
        return affine(net, total, 1 / float(weight.double().sum()))
    return quotient(net, total, reduced_loss(net, weight, "sum", "weights"))


def reduced_loss(net: Emitter, each: Symbol, reduction: str, suffix: str = "") -> Symbol:
    """Reduce losses over all elements, or leave them as they are."""
    if reduction == "none":
        return each
    op = ReduceOp.MEAN if reduction == "mean" else ReduceOp.SUM
    return reduced(net, op, each, None, suffix=suffix)
