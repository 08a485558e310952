"""Losses of scores against classes, which are labels (indices of the class axis) or shares.

A label that is no index of the class axis, an error in torch unless it is ignore_index, counts as
one that is ignored.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe2fx.layers import AbsVal, Tile
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.reduce import ReduceOp
from fx2caffe.ir.reshape import viewed
from fx2caffe.ir.symbol import Operand, Refused, Symbol
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.blocks import (
    above,
    affine,
    difference,
    inside,
    negated,
    opposite,
    product,
    quotient,
    weighted_sum,
)
from fx2caffe.ops.loss import reduced_loss
from fx2caffe.ops.reduction import reduced
from fx2caffe.ops.softmax import log_softmax
from fx2caffe.tracing.functions.losses import NUMBERED

IGNORED = -100  # torch's default of ignore_index


@handles(F.cross_entropy)
def cross_entropy(
    net: Emitter,
    input: Operand,
    target: Operand,
    weight: Operand | None = None,
    ignore_index: int = IGNORED,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Symbol:
    """Compute -sum(w q log_softmax(x)) over the classes, q being one-hot of labels, or shares.

    The mean of labels is divided by the sum of their weights.
    """
    axis = _class_axis(net, input)
    if isinstance(input, Symbol):
        input = inside(net, "log_softmax", log_softmax, input, axis)
    else:
        input = input.log_softmax(axis)
    if len(target.shape) == len(input.shape):
        shares = _smoothed(net, target, label_smoothing, axis, None)
        each = _each(net, input, _weighted(net, shares, weight, axis), axis)
        return reduced_loss(net, each, reduction)
    hits = _one_hot(net, input, target, ignore_index, axis)
    smooth = _smoothed(net, hits, label_smoothing, axis, hits) if label_smoothing else None
    return _of_labels(net, input, hits, smooth, weight, reduction)


@handles(F.nll_loss)
def nll_loss(
    net: Emitter,
    input: Operand,
    target: Operand,
    weight: Operand | None = None,
    ignore_index: int = IGNORED,
    reduction: str = "mean",
) -> Symbol:
    """Compute -w[t] x[t] of each label t; the mean is divided by the sum of the w[t]."""
    hits = _one_hot(net, input, target, ignore_index, _class_axis(net, input))
    return _of_labels(net, input, hits, None, weight, reduction)


@handles(torch.ops.aten.nll_loss_forward.default, torch.ops.aten.nll_loss2d_forward.default)
def nll_loss_forward(
    net: Emitter,
    input: Operand,
    target: Operand,
    weight: Operand | None,
    reduction: int,
    ignore_index: int,
) -> tuple[Symbol, Operand]:
    """Return the loss and the sum of the labels' weights, which is 0 for the loss of each."""
    axis, kind = _class_axis(net, input), NUMBERED[reduction]
    loss = nll_loss(net, input, target, weight, ignore_index, kind)
    if kind == "none":
        return loss, torch.zeros(())
    hits = _one_hot(net, input, target, ignore_index, axis)
    counted = _weighted(net, hits, weight, axis)
    if isinstance(counted, Symbol):
        return loss, reduced_loss(net, counted, "sum", "total_weight")
    return loss, counted.sum()


def _class_axis(net: Emitter, input: Operand) -> int:
    axis = min(1, len(input.shape) - 1)
    if isinstance(input, Symbol) and input.carries_batch(axis):
        net.fix_batch(f"{net.scope[0]} has a class for each sample")
    return axis


def _per_class(values: Tensor, input: Operand, axis: int) -> Tensor:
    """Return a value for each class in a shape that broadcasts with the input."""
    return values.reshape(-1, *(1,) * (len(input.shape) - axis - 1))


def _one_hot(
    net: Emitter, input: Operand, target: Operand, ignore_index: int, axis: int
) -> Operand:
    """Encode labels one-hot along the class axis, zeros for those that are ignored."""
    classes = torch.arange(input.shape[axis], dtype=torch.float32)
    if 0 <= ignore_index < len(classes):
        classes[ignore_index] += 0.5  # which no label is
    spread = _per_class(classes, input, axis)
    if isinstance(target, Tensor):
        return (target.unsqueeze(axis) == spread).float()
    labels = viewed(net, target, lambda s: (*s[:axis], 1, *s[axis:]), suffix="labels")
    tiled = net.add(Tile(axis=axis, tiles=len(classes)), labels, suffix="tiled")
    steps = difference(net, tiled, spread, "steps")
    others = above(net, net.add(AbsVal(), steps, suffix="distance"), 0.25, "others")
    return opposite(net, others, "one_hot")


def _smoothed(
    net: Emitter, shares: Operand, amount: float, axis: int, hits: Operand | None
) -> Operand:
    """Move a part of each sample's share to all classes alike; none of an ignored sample's."""
    part = amount / shares.shape[axis]
    if not amount:
        return shares
    if isinstance(shares, Tensor):
        whole = 1.0 if hits is None else shares.sum(axis, keepdim=True)
        return (1 - amount) * shares + part * whole
    if hits is None:
        return affine(net, shares, 1 - amount, part, "smoothed")
    counted = reduced(net, ReduceOp.SUM, shares, axis, keepdim=True, suffix="counted")
    return weighted_sum(net, shares, counted, (1 - amount, part), "smoothed")


def _weighted(net: Emitter, shares: Operand, weight: Operand | None, axis: int) -> Operand:
    """Multiply the shares of each class by its weight."""
    if weight is None:
        return shares
    if isinstance(weight, Symbol):
        ones = (1,) * (len(shares.shape) - axis - 1)
        weight = viewed(net, weight, lambda s: (*s, *ones), suffix="per_class")
    else:
        weight = _per_class(weight, shares, axis)
    if isinstance(weight, Tensor) and isinstance(shares, Tensor):
        return weight * shares
    return product(net, shares, weight, "weighted")


def _each(net: Emitter, input: Operand, shares: Operand, axis: int) -> Symbol:
    """Return the loss of each sample."""
    each = reduced(net, ReduceOp.SUM, product(net, input, shares, "parts"), axis, suffix="sums")
    return negated(net, each, "each")


def _of_labels(
    net: Emitter,
    input: Operand,
    hits: Operand,
    smooth: Operand | None,
    weight: Operand | None,
    reduction: str,
) -> Symbol:
    """Return the loss of labels encoded as `hits`, whose shares of the classes are `smooth`."""
    axis = _class_axis(net, input)
    counted = _weighted(net, hits, weight, axis)
    shares = counted if smooth is None else _weighted(net, smooth, weight, axis)
    each = _each(net, input, shares, axis)
    if reduction != "mean":
        return reduced_loss(net, each, reduction)
    total = reduced_loss(net, each, "sum", "total")
    if isinstance(counted, Symbol):
        return quotient(net, total, reduced_loss(net, counted, "sum", "weights"))
    if not counted.any():
        raise Refused("needs a label that is not ignored for reduction='mean', got none")
    return affine(net, total, 1 / float(counted.double().sum()))
