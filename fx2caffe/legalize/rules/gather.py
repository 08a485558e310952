"""Decompositions of Gather."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import torch

from caffe2fx.layers import BatchReindex, Parameter
from fx2caffe.ir.axis_matrix import AxisMatrix
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.gather import DENSE, ROWS, Gather
from fx2caffe.ir.reshape import reshaped, viewed
from fx2caffe.ir.symbol import Refused
from fx2caffe.legalize.rule import LayerCall, Tops


def gather_by_one_hot(net: Emitter, call: LayerCall[Gather]) -> Tops:
    """Multiply by a one-hot matrix, if it is not too large; the batch stays free."""
    layer, bottoms, blobs = call.layer, call.bottoms, call.blobs
    bottom, axis = bottoms[0], layer.first
    size = prod(bottom.static_size(a) for a in range(layer.first, layer.last + 1))
    if size * len(blobs[0]) > DENSE:
        raise Refused(f"needs a matrix of at most {DENSE} elements, got {size * len(blobs[0])}")
    flat = viewed(net, bottom, lambda s: (*s[:axis], size, *s[layer.last + 1 :]), suffix="flat")
    ones = (blobs[0].long()[:, None] == torch.arange(size)[None]).float()
    product = AxisMatrix(axis=axis, rows=len(blobs[0]))
    moved = net.add(product, flat, blobs=[ones], suffix="moved")
    return (viewed(net, moved, lambda s: (*s[:axis], *layer.sizes, *s[axis + 1 :])),)


def gather_by_batch_reindex(net: Emitter, call: LayerCall[Gather]) -> Tops:
    """Pick rows by BatchReindex, with indices over all samples, which fixes the batch size."""
    layer, bottoms = call.layer, call.bottoms
    bottom, both = bottoms[0], (bottoms[0].shape, bottoms[0].other_shape)
    outer = prod(bottom.shape[: layer.first])
    size = prod(bottom.shape[layer.first : layer.last + 1])
    if outer * size > ROWS:
        raise Refused(f"needs at most {ROWS} rows to pick from, got {outer * size}")
    rows = (torch.arange(outer)[:, None] * size + call.blobs[0].long()[None]).flatten()
    row_index = net.add(Parameter(shape=tuple(rows.shape)), blobs=[rows], suffix="rows")
    if layer.first == layer.last == 0 and bottom.shape[0] == bottom.other_shape[0]:
        picked = net.add(BatchReindex(), bottom, row_index, suffix="pick")
        shape, other = (layer.top_shapes([s], 1)[0] for s in both)
        return (reshaped(net, picked, shape, other),)
    inner = prod(bottom.shape[layer.last + 1 :]), prod(bottom.other_shape[layer.last + 1 :])
    first = prod(bottom.other_shape[: layer.last + 1])
    flat = reshaped(net, bottom, (outer * size, inner[0]), (first, inner[1]), suffix="flat")
    picked = net.add(BatchReindex(), flat, row_index, suffix="pick")
    shape, other = (layer.top_shapes([s], 1)[0] for s in both)
    top = reshaped(net, picked, shape, shape if first == outer * size else other)
    if first != outer * size:
        name, _ = net.scope
        net.fix_batch(f"{name} picks its rows by number, counted over all samples")
    return (replace(top, other_shape=other),)
