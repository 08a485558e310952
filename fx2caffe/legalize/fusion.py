"""Fusion of consecutive index maps, and of steps that a target has as a single layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe2fx.layers import BNLL, Interp, Mish, TanH
from caffe2fx.layers.layer import Layer
from caffe2fx.net.step import Step, Value
from fx2caffe.ir.axis_matrix import AxisMatrix
from fx2caffe.ir.binary import PRODUCT
from fx2caffe.ir.index_map import PADDING, IndexMap
from fx2caffe.targets import Target


def fuse_into_forks(steps: Sequence[Step], target: Target) -> Iterator[Step]:
    """Fuse steps that are a single layer of the target (Interp, Mish) into that layer.

    before: AxisMatrix on height, AxisMatrix on width, both as align_corners has them
    after:  Interp{height width}
    before: BNLL, TanH, Eltwise{PROD} with the BNLL's bottom     after: Mish
    The earlier steps stay; passes.dead_steps drops those that no output needs.
    """
    made: dict[Value, Step] = {}
    for step in steps:
        fused = _interp(step, made) or _mish(step, made)
        if fused is not None and target.has(fused.layer):
            step = fused
        made.update(dict.fromkeys(step.tops, step))
        yield step


def _interp(step: Step, made: dict[Value, Step]) -> Step | None:
    before = made.get(step.bottoms[0]) if step.bottoms else None
    if before is None or not isinstance(step.layer, AxisMatrix):
        return None
    pair = (before, step)
    axes = {s.layer.axis: s for s in pair if isinstance(s.layer, AxisMatrix)}
    if set(axes) != {2, 3} or not all(_aligns_corners(s.blobs[0]) for s in pair):
        return None
    height, width = (len(axes[axis].blobs[0]) for axis in (2, 3))
    return _instead(step, Interp(height=height, width=width), before.bottoms)


def _aligns_corners(matrix: Tensor) -> bool:
    rows, size = matrix.shape
    basis = torch.eye(size, dtype=torch.float64)[None]
    wanted = F.interpolate(basis, size=rows, mode="linear", align_corners=True)[0].t()
    return torch.allclose(matrix.double(), wanted, rtol=0, atol=1e-12)


def _mish(step: Step, made: dict[Value, Step]) -> Step | None:
    if step.layer != PRODUCT or len(step.bottoms) != 2:
        return None
    for bottom, gate in (step.bottoms, step.bottoms[::-1]):
        tanh = made.get(gate)
        if tanh is not None and isinstance(tanh.layer, TanH):
            soft = made.get(tanh.bottoms[0])
            if soft is not None and soft.layer == BNLL() and soft.bottoms == (bottom,):
                return _instead(step, Mish(), (bottom,))
    return None


def _instead(step: Step, layer: Layer, bottoms: tuple[Value, ...]) -> Step:
    return replace(step, layer=layer, bottoms=bottoms, blobs=())


def fuse_index_maps(steps: Sequence[Step]) -> Iterator[Step]:
    """Fuse each IndexMap with the IndexMap whose top it alone reads.

    The first of the two stays; passes.dead_steps drops it unless an output needs it.
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
    """Return one step that applies the first index map and then the second."""
    pairs = zip(first.blobs, second.blobs, strict=True)
    blobs = [torch.where(two == PADDING, two, one[two.long().clamp(min=0)]) for one, two in pairs]
    return replace(second, bottoms=first.bottoms, blobs=tuple(blobs))
