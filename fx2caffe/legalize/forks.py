"""Single layers of Caffe's forks in place of several of Caffe's own, where the target has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe2fx import layers
from caffe2fx.layer import Layer
from caffe2fx.layers import (
    BNLL,
    Clip,
    Eltwise,
    EltwiseOp,
    Interp,
    Mish,
    ReLU6,
    ShuffleChannel,
    TanH,
    Upsample,
)
from caffe2fx.layers.fork_position import UpsampleStride
from caffe2fx.message import Shape
from caffe2fx.net import Step, Value
from fx2caffe.emit import Emitter, Refused, Symbol
from fx2caffe.legalize.axis_matrix import AxisMatrix
from fx2caffe.legalize.index_map import IndexMap, times_of
from fx2caffe.legalize.permute import Permute
from fx2caffe.legalize.rules import LayerCall, Tops
from fx2caffe.reshaping import reshaped_source
from fx2caffe.targets import Target


def shuffle_channel(net: Emitter, call: LayerCall[Permute]) -> Tops:
    """before: Permute{order: 0 2 1 3 4} of (N,g,C/g,H,W)     after: ShuffleChannel{group: g}"""
    layer, bottom = call.layer, call.bottom
    if bottom.rank < 4 or layer.order != (0, 2, 1, *range(3, bottom.rank)):
        raise Refused("needs the two axes behind the batch to change places")
    shape, other = (_joined_channels(sizes) for sizes in (bottom.shape, bottom.other))
    joined = reshaped_source(net, bottom, shape, other, role="channels")
    made = net.add(ShuffleChannel(group=bottom.fixed(1)), joined, role="shuffle")
    top, second = (layer.top_shapes([sizes], 1)[0] for sizes in (bottom.shape, bottom.other))
    return (reshaped_source(net, made, top, second),)


def _joined_channels(shape: Shape) -> Shape:
    return (shape[0], shape[1] * shape[2], shape[3], prod(shape[4:]))


def permute(net: Emitter, call: LayerCall[Permute]) -> Tops:
    """The forks' own Permute."""
    return (net.add(layers.Permute(order=call.layer.order), call.bottom),)


def relu6(net: Emitter, call: LayerCall[Clip]) -> Tops:
    """before: Clip{min: 0 max: 6}     after: ReLU6"""
    layer = call.layer
    if (layer.min, layer.max) != (0, 6):
        raise Refused(f"as ReLU6 needs bounds 0 and 6, got {layer.min} and {layer.max}")
    return (net.add(ReLU6(), call.bottom),)


def upsample(net: Emitter, call: LayerCall[IndexMap]) -> Tops:
    """Every pixel s x s times."""
    bottom = call.bottom
    return (net.add(Upsample(scale=_scale(call.layer, bottom, call.blobs)), bottom),)


def upsample_by_stride(net: Emitter, call: LayerCall[IndexMap]) -> Tops:
    """Every pixel s x s times, as Ascend's ATC writes it."""
    bottom = call.bottom
    scale = _scale(call.layer, bottom, call.blobs)
    return (net.add(UpsampleStride(stride_h=scale, stride_w=scale), bottom),)


def _scale(layer: IndexMap, bottom: Symbol, blobs: Sequence[Tensor]) -> int:
    """How often each pixel is repeated both ways. Raises Refused if it is not."""
    if bottom.rank != 4 or tuple(layer.axes) != (2, 3):
        raise Refused("needs both image axes of a 4-D bottom")
    lists = [tuple(int(place) for place in blob) for blob in blobs]
    high, wide = (times_of(p, bottom.fixed(a)) for a, p in zip((2, 3), lists, strict=True))
    if high != wide:
        raise Refused(f"needs one scale both ways, got {high} and {wide}")
    return high


def fuse_into_forks(steps: Sequence[Step], target: Target) -> Iterator[Step]:
    """The steps, with those that are one layer of the target together as that layer.

    before: AxisMatrix on height, AxisMatrix on width, both as align_corners has them
    after:  Interp{height width}
    before: BNLL, TanH, Eltwise{PROD} with the BNLL's bottom     after: Mish
    The first of each stay, for nothing or for an output: see prune.
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
    if step.layer != Eltwise(operation=EltwiseOp.PROD) or len(step.bottoms) != 2:
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
