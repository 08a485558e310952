"""Two IndexMaps in a row on the same axes become one.

before: x[:, :, 1:], then [:, :, :3] of it        after: x[:, :, 1:4]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from caffe2fx.net import Step, Value
from fx2caffe.legalize.index_map import NOWHERE, IndexMap


def fuse_index_maps(steps: Sequence[Step]) -> Iterator[Step]:
    """The steps, each IndexMap reading from before the one that it alone reads.

    The first of the two stays, for nothing or for an output: see prune.
    """
    uses = Counter(value for step in steps for value in step.reads)
    made: dict[Value, Step] = {}
    for step in steps:
        before = made.get(step.bottoms[0]) if isinstance(step.layer, IndexMap) else None
        if before is not None and uses[step.bottoms[0]] == 1 and _fits(before, step):
            step = _after(before, step)
        if isinstance(step.layer, IndexMap):
            made[step.tops[0]] = step
        yield step


def _fits(first: Step, second: Step) -> bool:
    one, two = first.layer, second.layer
    if not isinstance(one, IndexMap) or not isinstance(two, IndexMap):
        return False
    return one.axes == two.axes and one.outside == two.outside


def _after(first: Step, second: Step) -> Step:
    """What the second step does to what the first gives, as one step."""
    pairs = zip(first.blobs, second.blobs, strict=True)
    blobs = [
        torch.where(two == NOWHERE, two, one[two.long().clamp(min=0)]) for one, two in pairs
    ]
    return replace(second, bottoms=first.bottoms, blobs=tuple(blobs))
