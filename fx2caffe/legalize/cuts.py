"""Fusion of the cuts that divide an axis among them into one Slice.

before: IndexMap to 0, IndexMap to 1 and IndexMap to 2, of one value whose axis has size 3
after:  Slice{slice_point: 1 slice_point: 2}
Every top of the Slice is read, for which programs without Silence ask.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from caffe2fx.layers import Slice
from caffe2fx.net.step import Step, Value
from fx2caffe.ir.index_map import IndexMap, Span
from fx2caffe.ir.symbol import Symbol

Axis = tuple[Value, int]
Cuts = dict[int, Step]  # by their start index


def fuse_cuts(steps: Sequence[Step], symbols: Mapping[Value, Symbol]) -> Iterator[Step]:
    """Yield the steps, with a Slice in place of the first of the cuts that divide an axis.

    `symbols` needs to have the bottoms of a step by the time at which that step is asked for.
    """
    groups = _by_axis(steps)
    fused: set[Value] = set()
    for step in steps:
        cuts = groups.get(_axis(step), {})
        if not fused.isdisjoint(step.tops):
            continue
        if any(step is cut for cut in cuts.values()) and _divide(cuts, symbols[step.bottoms[0]]):
            step = _sliced(step, cuts)
            fused.update(step.tops)
        yield step


def _axis(step: Step) -> Axis | None:
    """Return the bottom and the axis of an IndexMap of one axis, None for any other step."""
    layer = step.layer
    if not isinstance(layer, IndexMap) or len(layer.sizes) != 1:
        return None
    return step.bottoms[0], layer.first


def _by_axis(steps: Sequence[Step]) -> Mapping[Axis | None, Cuts]:
    """Return the IndexMaps that cut one axis, of several from one start the last."""
    groups: dict[Axis | None, Cuts] = defaultdict(dict)
    for step in steps:
        axis = _axis(step)
        span = Span.of(tuple(map(int, step.blobs[0]))) if axis is not None else None
        if span is not None and span.is_cut:
            groups[axis][span.start] = step
    return groups


def _divide(cuts: Cuts, bottom: Symbol) -> bool:
    """Return whether two cuts or more are the whole axis, each index once, at any batch size."""
    layer = next(iter(cuts.values())).layer
    assert isinstance(layer, IndexMap)
    sizes = [len(cuts[start].blobs[0]) for start in sorted(cuts)]
    ends = [start + size for start, size in zip(sorted(cuts), sizes, strict=True)]
    whole = bottom.shape[layer.first]
    adjoining = [0, *ends] == [*sorted(cuts), whole]
    return len(cuts) > 1 and adjoining and not bottom.carries_batch(layer.first)


def _sliced(step: Step, cuts: Cuts) -> Step:
    """Return the Slice that has the tops of all cuts, named after one of them."""
    assert isinstance(step.layer, IndexMap)
    starts = sorted(cuts)
    layer = Slice(axis=step.layer.first, slice_point=tuple(starts[1:]))
    tops = tuple(cuts[start].tops[0] for start in starts)
    return replace(step, layer=layer, blobs=(), tops=tops)
