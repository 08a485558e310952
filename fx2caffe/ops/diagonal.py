"""Diagonals and triangles of matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from caffe2fx.layers import Concat, Scale, Tile
from fx2caffe.ir.constants import as_symbol
from fx2caffe.ir.data_movement import rearrange
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.index_map import PADDING, index_map
from fx2caffe.ir.reshape import viewed
from fx2caffe.ir.symbol import Symbol
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.arguments import positive
from fx2caffe.ops.blocks import times


@handles(torch.tril)
def tril(net: Emitter, input: Symbol, diagonal: int = 0) -> Symbol:
    return times(net, input, torch.ones(_matrix(net, input)).tril(diagonal))


@handles(torch.triu)
def triu(net: Emitter, input: Symbol, diagonal: int = 0) -> Symbol:
    return times(net, input, torch.ones(_matrix(net, input)).triu(diagonal))


def _matrix(net: Emitter, input: Symbol) -> tuple[int, int]:
    return input.static_size(input.rank - 2), input.static_size(input.rank - 1)


@handles(torch.diag_embed)
def diag_embed(
    net: Emitter, input: Symbol, offset: int = 0, dim1: int = -2, dim2: int = -1
) -> Symbol:
    """Tile the last axis to rows, multiply them by an identity matrix, and pad by the offset."""
    size, last = input.static_size(input.rank - 1), input.rank
    unsqueezed = viewed(net, input, lambda s: (*s[:-1], 1, s[-1]), suffix="unsqueezed")
    tiles = net.add(Tile(axis=last - 1, tiles=size), unsqueezed, suffix="tile")
    matrix = net.add(Scale(axis=last - 1, num_axes=2), tiles, blobs=[torch.eye(size)])
    outside = [PADDING] * abs(offset)
    rows, columns = [*range(size), *outside], [*outside, *range(size)]
    if offset < 0:
        rows, columns = columns, rows
    if offset:
        matrix = index_map(net, matrix, {last - 1: rows, last: columns}, suffix="padded")
    axes = [positive(dim, last + 1) for dim in (dim1, dim2)]
    return rearrange(net, matrix, lambda x: x.movedim((-2, -1), axes))


@handles(torch.diag)
def diag(net: Emitter, input: Symbol, diagonal: int = 0) -> Symbol:
    if input.rank == 1:
        return diag_embed(net, input, diagonal)
    return rearrange(net, input, lambda x: x.diagonal(diagonal))


@handles(torch.linalg.diagonal)
def linalg_diagonal(
    net: Emitter, A: Symbol, *, offset: int = 0, dim1: int = -2, dim2: int = -1
) -> Symbol:
    return rearrange(net, A, lambda x: x.diagonal(offset, dim1, dim2))


@handles(torch.diagflat)
def diagflat(net: Emitter, input: Symbol, offset: int = 0) -> Symbol:
    line = viewed(net, input, lambda s: (int(torch.Size(s).numel()),), suffix="flat")
    return diag_embed(net, line, offset)


@handles(torch.block_diag)
def block_diag(net: Emitter, *tensors: Symbol | Tensor) -> Symbol:
    """Pad each block with zeros to the full width, then concatenate along the rows."""
    symbols = [as_symbol(net, tensor, suffix=f"part{i}") for i, tensor in enumerate(tensors)]
    blocks = [viewed(net, s, lambda s: (1,) * (2 - len(s)) + s, suffix="block") for s in symbols]
    widths = [block.static_size(1) for block in blocks]
    rows = [
        index_map(net, block, {1: _between(widths, index)}, suffix="row")
        for index, block in enumerate(blocks)
    ]
    return net.add(Concat(axis=0), *rows)


def _between(widths: Sequence[int], index: int) -> list[Any]:
    """Return the column indices of one block in a full row, with padding before and after."""
    before, after = sum(widths[:index]), sum(widths[index + 1 :])
    return [PADDING] * before + [*range(widths[index])] + [PADDING] * after
