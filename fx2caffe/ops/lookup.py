"""Rows of a table by indices that the net computes: embedding, embedding_bag and one_hot."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe2fx.layers import AbsVal, BatchReindex, Embed
from fx2caffe.ir.axis_matrix import AxisMatrix
from fx2caffe.ir.constants import as_float32
from fx2caffe.ir.data_movement import rearrange
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.gather import DENSE, ROWS
from fx2caffe.ir.reduce import ReduceOp
from fx2caffe.ir.reshape import reshaped, viewed
from fx2caffe.ir.symbol import Operand, Refused, Symbol
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.blocks import above, difference, opposite, product
from fx2caffe.ops.reduction import reduced


def rows_of(net: Emitter, table: Operand, indices: Symbol, suffix: str = "") -> Symbol:
    """Gather rows (axis 0) of a table: the result has the shape of `indices`, then that of a row.

    A constant table is the weight of an Embed, which takes any batch of indices.
    """
    count = table.shape[0]
    if count > ROWS:
        raise Refused(f"needs at most {ROWS} rows to pick from, got {count}")
    if isinstance(table, Tensor):
        row = tuple(table.shape[1:])
        layer = Embed(num_output=prod(row), input_dim=count, bias_term=False)
        weight = as_float32(table).reshape(count, -1)
        found = net.add(layer, indices, blobs=[weight], suffix=suffix or "rows")
        return viewed(net, found, lambda s: (*s[:-1], *row), suffix="shaped")
    return _reindexed(net, table, indices, suffix)


def _reindexed(net: Emitter, table: Symbol, indices: Symbol, suffix: str) -> Symbol:
    line = viewed(net, indices, lambda s: (prod(s),), suffix="elements")
    found = net.add(BatchReindex(), table, line, suffix=suffix or "rows")
    shape, other = (
        (*indices.shape, *table.shape[1:]),
        (*indices.other_shape, *table.other_shape[1:]),
    )
    return reshaped(net, found, shape, other, suffix="shaped")


def one_hot_of(net: Emitter, indices: Symbol, count: int, suffix: str = "one_hot") -> Symbol:
    """Encode each index one-hot along a new last axis."""
    if count**2 <= DENSE:
        layer = Embed(num_output=count, input_dim=count, bias_term=False)
        return net.add(layer, indices, blobs=[torch.eye(count)], suffix=suffix)
    last = viewed(net, indices, lambda s: (*s, 1), suffix="last")
    steps = difference(net, last, torch.arange(count), "steps")
    other = above(net, net.add(AbsVal(), steps, suffix="distance"), 0.5, "other")
    return opposite(net, other, suffix)


@handles(F.one_hot)
def one_hot(net: Emitter, tensor: Symbol, num_classes: int = -1) -> Symbol:
    if num_classes < 1:
        raise Refused("needs num_classes, which otherwise depends on the data, got -1")
    return one_hot_of(net, tensor, num_classes, suffix="")


@handles(F.embedding)
def embedding(
    net: Emitter,
    input: Operand,
    weight: Operand,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Symbol:
    if max_norm is not None:
        raise Refused(f"needs max_norm=None, since it changes the weight, got {max_norm}")
    return _embedded(net, input, weight)


def _embedded(net: Emitter, input: Operand, weight: Operand) -> Symbol:
    if isinstance(input, Symbol):
        return rows_of(net, weight, input)
    assert isinstance(weight, Symbol)  # a call on constants is not lowered
    return rearrange(net, weight, lambda x: x[input])


@handles(F.embedding_bag)
def embedding_bag(
    net: Emitter,
    input: Operand,
    weight: Operand,
    offsets: Operand | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Operand | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Symbol:
    """Reduce bags, which are the rows of a matrix, or consecutive parts at constant offsets."""
    if max_norm is not None:
        raise Refused(f"needs max_norm=None, since it changes the weight, got {max_norm}")
    if padding_idx is not None:
        raise Refused(f"needs padding_idx=None, got {padding_idx}")
    rows = _embedded(net, input, weight)
    if per_sample_weights is not None:
        last = _unsqueezed(net, per_sample_weights)
        rows = product(net, rows, last, "weighted")
    if rows.rank == 3:
        return reduced(net, _BAGS[mode], rows, 1)
    if not isinstance(offsets, Tensor):
        raise Refused("needs constant offsets, got some that depend on the input")
    edges = [*offsets.tolist(), *([] if include_last_offset else [rows.static_size(0)])]
    return _bags(net, rows, list(pairwise(edges)), mode)


@handles(torch.embedding_bag, torch._embedding_bag, torch._embedding_bag_forward_only)
def embedding_bag_with_counts(
    net: Emitter,
    weight: Operand,
    indices: Operand,
    offsets: Tensor,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: Operand | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> tuple[Symbol, None, None, None]:
    """Return the bags without their counts and largest indices, which only gradients read."""
    bags = embedding_bag(
        net,
        indices,
        weight,
        offsets,
        mode=("sum", "mean", "max")[mode],
        per_sample_weights=per_sample_weights,
        include_last_offset=include_last_offset,
        padding_idx=None if padding_idx == -1 else padding_idx,
    )
    return bags, None, None, None


_BAGS = {"sum": ReduceOp.SUM, "mean": ReduceOp.MEAN, "max": ReduceOp.MAX}


def _unsqueezed(net: Emitter, value: Operand) -> Operand:
    if isinstance(value, Tensor):
        return value.unsqueeze(-1)
    return viewed(net, value, lambda s: (*s, 1), suffix="weights")


def _bags(net: Emitter, rows: Symbol, bags: Sequence[tuple[int, int]], mode: str) -> Symbol:
    """Reduce bags of one length as rows of a matrix; sum others by a matrix of weights.

    An empty bag gives zeros.
    """
    count = rows.static_size(0) // len(bags)
    if count and list(bags) == [(i * count, (i + 1) * count) for i in range(len(bags))]:
        equal = viewed(net, rows, lambda s: (s[0] // count, count, *s[1:]), suffix="bags")
        return reduced(net, _BAGS[mode], equal, 1)
    if mode == "max":
        raise Refused("needs bags of equal length for mode='max'")
    matrix = torch.zeros(len(bags), rows.static_size(0), dtype=torch.float64)
    for bag, (start, end) in enumerate(bags):
        matrix[bag, start:end] = 1 / (end - start) if mode == "mean" and end > start else 1
    return net.add(AxisMatrix(axis=0, rows=len(bags)), rows, blobs=[matrix])
