"""Counts of elements in bins with constant edges."""

from __future__ import annotations

from bisect import bisect_left
from math import prod

import numpy as np
import torch

from caffe2fx.layers import Reduction
from fx2caffe.ir.axis_matrix import AxisMatrix
from fx2caffe.ir.data_movement import rearrange
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.reshape import viewed
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.blocks import above, before, difference


@handles(torch.histc)
def histc(net: Emitter, input: Symbol, bins: int = 100, min: float = 0, max: float = 0) -> Symbol:
    """Count the elements at or above each edge, minus those at or above the next."""
    if min == max:
        raise Refused(f"needs min and max, which otherwise depend on the data, got {min}, {max}")
    edges = [before(float(edge)) for edge in _edges(bins, min, max)]
    line = viewed(net, input, lambda s: (1, prod(s)), suffix="flat")
    lines = rearrange(net, line, lambda x: x.expand(bins + 1, -1))
    steps = difference(net, lines, torch.tensor(edges)[:, None], "steps")
    counts = net.add(Reduction(axis=1), above(net, steps, 0, "above"), suffix="counts")
    less = torch.eye(bins, bins + 1) - torch.eye(bins, bins + 1).roll(1, 1)
    return net.add(AxisMatrix(axis=0, rows=bins), counts, blobs=[less])


def _edges(bins: int, low: float, high: float) -> list[np.float32]:
    """Return the least float32 that torch counts in each bin, and the least above the last bin."""
    ends = np.float32(low), np.float32(high)
    candidates = range(_rank(ends[0]), _rank(ends[1]) + 1)

    def bin_of(rank: int) -> int:
        return int(torch.histc(torch.tensor([_float_of_rank(rank)]), bins, low, high).argmax())

    ranks = [candidates[bisect_left(candidates, bin_, key=bin_of)] for bin_ in range(bins)]
    return [_float_of_rank(rank) for rank in (*ranks, candidates[-1] + 1)]


def _rank(value: np.float32) -> int:
    """Return the rank of a float32 in the order of all float32 values."""
    bits = int(value.view(np.int32))
    return bits if bits >= 0 else -(bits & 0x7FFFFFFF)


def _float_of_rank(rank: int) -> np.float32:
    bits = rank if rank >= 0 else -rank | 0x80000000
    value: np.float32 = np.uint32(bits).view(np.float32)
    return value
