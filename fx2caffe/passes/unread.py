"""Drop tops that are not read, for programs that have no Silence layer.

before: Slice to tops a, b and c, of which b is read     after: IndexMap to b, still to be rewritten
before: Pooling to its maxima and an unread mask         after: Pooling to its maxima
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import accumulate

import torch

from caffe2fx.layers import Pooling, Slice
from caffe2fx.layers.layer import axis_of
from caffe2fx.messages.message import Shape
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value
from fx2caffe.ir.index_map import IndexMap


def unread_tops(net: Net) -> set[Value]:
    """Return the tops that no layer reads and that are not outputs."""
    read = {value for step in net.steps for value in step.reads} | set(net.outputs)
    return {top for step in net.steps for top in step.tops} - read


def without_unread_tops(net: Net) -> Net:
    """Replace layers with unread tops by layers that give only the read ones.

    Returns the same Net object if every top is read.
    """
    unread = unread_tops(net)
    if not unread:
        return net
    shapes = net.shapes()
    steps = [
        made
        for step in net.steps
        for made in ((step,) if unread.isdisjoint(step.tops) else _read(step, shapes, unread))
    ]
    return replace(net, steps=tuple(steps))


def _read(step: Step, shapes: dict[Value, Shape], unread: set[Value]) -> Iterable[Step]:
    """Return the steps that give only the read tops of a step."""
    if isinstance(step.layer, Slice):
        return _cuts(step, shapes, unread)
    if isinstance(step.layer, Pooling) and step.tops[0] not in unread:
        return (replace(step, tops=step.tops[:1]),)
    return (step,)


def _cuts(step: Step, shapes: dict[Value, Shape], unread: set[Value]) -> Iterator[Step]:
    assert isinstance(step.layer, Slice)
    axis = axis_of(step.layer.axis, len(shapes[step.bottoms[0]]))
    sizes = [shapes[top][axis] for top in step.tops]
    for top, size, end in zip(step.tops, sizes, accumulate(sizes), strict=True):
        if top not in unread:
            layer = IndexMap(first=axis, sizes=(size,))
            indices = torch.arange(end - size, end)
            yield replace(step, name=top.blob, layer=layer, tops=(top,), blobs=(indices,))
