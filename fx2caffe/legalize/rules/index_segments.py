"""Decomposition of an IndexMap of a long axis that keeps long runs, such as a reflected signal."""

from __future__ import annotations

from caffe2fx.layers import Concat
from fx2caffe.ir.axis_matrix import AxisMatrix
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.gather import DENSE
from fx2caffe.ir.index_map import PADDING, IndexMap, Indices, index_map
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.legalize.rule import LayerCall, Tops
from fx2caffe.legalize.rules.index_map import (
    PIECES,
    changed,
    one_hot,
    only,
    runs_of,
)

LARGE = 1 << 18  # elements in a one-hot matrix, above which its runs are worth layers of their own
LONG = 64  # indices in a row that are worth a layer of their own


def by_segments(net: Emitter, call: LayerCall[IndexMap]) -> Tops:
    """Index the long runs of an axis by ranges, and the rest between them by small matrices.

    before: IndexMap of 16000 indices and 200 reflected ones on both sides
    after:  Slice and AxisMatrix of either side, Concat with the bottom
    """
    bottom = call.bottom
    axis, indices = only(changed(call.layer, bottom, call.blobs))
    segments = segments_of(indices)
    if bottom.static_size(axis) * len(indices) <= LARGE or PADDING in indices:
        raise Refused("needs many indices, all of them of the bottom's elements")
    if not 1 < len(segments) <= PIECES:
        raise Refused(f"needs 2 to {PIECES} segments, got {len(segments)}")
    parts = [
        _segment(net, bottom, axis, segment, f"segment{index}")
        for index, segment in enumerate(segments)
    ]
    return (net.add(Concat(axis=axis), *parts),)


def segments_of(indices: Indices) -> list[Indices]:
    """Split indices into runs of consecutive ones that are long, and the rest between these."""
    segments: list[Indices] = []
    rest: tuple[int, ...] = ()
    for low, high in runs_of(indices):
        if high - low < LONG:
            rest = (*rest, *range(low, high))
            continue
        segments += [rest, tuple(range(low, high))]
        rest = ()
    return [segment for segment in (*segments, rest) if segment]


def _segment(net: Emitter, bottom: Symbol, axis: int, indices: Indices, suffix: str) -> Symbol:
    low, high = min(indices), max(indices) + 1
    box = index_map(net, bottom, {axis: tuple(range(low, high))}, suffix=f"{suffix}/range")
    local = [index - low for index in indices]
    if local == list(range(high - low)):
        return box
    if len(local) * (high - low) > DENSE:
        raise Refused(f"needs matrices of at most {DENSE} elements, got more")
    layer = AxisMatrix(axis=axis, rows=len(local))
    return net.add(layer, box, blobs=[one_hot(local, high - low)], suffix=suffix)
