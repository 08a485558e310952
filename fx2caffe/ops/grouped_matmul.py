"""grouped_mm: consecutive groups of rows, each times a matrix of its own, as of experts."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from fx2caffe.ir import graph_functions
from fx2caffe.ir.constants import as_symbol
from fx2caffe.ir.data_movement import rearrange
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.reduce import ReduceOp
from fx2caffe.ir.reshape import viewed
from fx2caffe.ir.symbol import Operand, Symbol
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.blocks import above, difference, inside, product
from fx2caffe.ops.matmul import product as matrix_product
from fx2caffe.ops.reduction import reduced
from fx2caffe.ops.scan import along_axis


@handles(graph_functions.grouped_mm)
def grouped_mm(net: Emitter, mat_a: Operand, mat_b: Operand, offs: Operand) -> Symbol:
    """Multiply all rows by all matrices side by side, and keep each row's own product."""
    rows = as_symbol(net, mat_a, suffix="rows")
    groups, columns = mat_b.shape[0], mat_b.shape[2]
    beside = inside(net, "products", matrix_product, rows, _side_by_side(net, mat_b))
    each = viewed(net, beside, lambda s: (s[0], groups, columns), suffix="groups")
    members = inside(net, "members", _members, rows, offs)
    return reduced(net, ReduceOp.SUM, product(net, each, members, "own"), 1)


def _side_by_side(net: Emitter, matrices: Operand) -> Operand:
    """Return matrices (group, row, column) as one, of the same rows."""
    if isinstance(matrices, Tensor):
        return matrices.transpose(0, 1).flatten(1)
    turned = rearrange(net, matrices, lambda x: x.transpose(0, 1))
    return viewed(net, turned, lambda s: (s[0], prod(s[1:])), suffix="side_by_side")


def _members(net: Emitter, rows: Symbol, offsets: Operand) -> Operand:
    """Return (row, group, 1): 1 where the row is one of the group, else 0."""
    if rows.carries_batch(0):
        net.fix_batch(f"{net.scope[0]} has groups of rows of all samples")
    numbers = torch.arange(rows.shape[0], dtype=torch.float32)[:, None]
    if isinstance(offsets, Tensor):
        return _starts_removed((numbers < offsets).double())[..., None].float()
    behind = difference(net, viewed(net, offsets, lambda s: (1, *s)), numbers, "behind")
    before = above(net, behind, 0.5, "before_end")
    members = along_axis(net, before, 1, _starts_removed)
    return viewed(net, members, lambda s: (*s, 1), suffix="column")


def _starts_removed(before_end: Tensor) -> Tensor:
    """Return which groups a row is in, from those before whose end it is."""
    return before_end.diff(dim=1, prepend=before_end.new_zeros(len(before_end), 1))
