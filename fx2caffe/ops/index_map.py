"""Operations that only move numbers: each is torch's own, run on positions."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe2fx.layers import Concat, Deconvolution, Im2col, Slice
from fx2caffe.emit import Emitter, Refused, Symbol
from fx2caffe.lower import Expected, handles
from fx2caffe.ops.arguments import constant, per_axis, positive
from fx2caffe.ops.constant import as_symbol
from fx2caffe.places import moved
from fx2caffe.reshaping import reshaped


@handles(operator.getitem)
def getitem(net: Emitter, input: Any, index: Any) -> Any:
    if not isinstance(input, Symbol):
        return input[index]
    parts = index if isinstance(index, tuple | list) else (index,)
    if any(isinstance(part, Symbol) for part in parts):
        raise Refused("needs a constant index, got one that depends on the input")
    return moved(net, input, lambda x: x[index])


def _moves(*functions: Callable[..., Any]) -> None:
    """Handle functions whose first argument is moved and whose others are constants."""
    for function in functions:

        def move(
            net: Emitter,
            input: Symbol,
            *args: Any,
            _function: Callable[..., Any] = function,
            **kwargs: Any,
        ) -> Symbol:
            return moved(net, input, lambda x: _function(x, *args, **kwargs))

        handles(function)(move)


_moves(
    torch.permute, torch.transpose, torch.movedim, torch.narrow, torch.select, torch.flip,
    torch.fliplr, torch.flipud, torch.rot90, torch.roll, torch.tile, Tensor.expand,
    Tensor.repeat, torch.repeat_interleave, torch.index_select, torch.diagonal, torch.take,
    torch.broadcast_to, Tensor.unfold, torch.select_copy,
)  # fmt: skip


def _splits(*functions: Callable[..., Any]) -> None:
    """Handle functions that cut their first argument along `dim`."""
    for function in functions:

        def split(
            net: Emitter,
            input: Symbol,
            *args: Any,
            _function: Callable[..., Any] = function,
            **kwargs: Any,
        ) -> tuple[Symbol, ...]:
            return _split(net, input, lambda x: _function(x, *args, **kwargs))

        handles(function)(split)


def _split(
    net: Emitter, input: Symbol, cut: Callable[[Tensor], Sequence[Tensor]]
) -> tuple[Symbol, ...]:
    """Slice along the axis of which the parts are ranges; a squeezed axis is dropped after it."""
    shapes = [[tuple(p.shape) for p in cut(torch.empty(s, device="meta"))] for s in
              (input.shape, input.other)]
    squeezed = len(shapes[0][0]) < input.rank
    axis = _cut_axis(input, shapes[0], squeezed)
    if axis is None or len(shapes[0]) == 1:
        return tuple(moved(net, input, lambda x, i=i: cut(x)[i]) for i in range(len(shapes[0])))
    sizes = [1 if squeezed else shape[axis] for shape in shapes[0]]
    points = () if len(set(sizes)) == 1 else [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)]
    parts = net.add_many(Slice(axis=axis, slice_point=points), input, tops=len(sizes))
    return tuple(reshaped(net, *part) for part in zip(parts, *shapes, strict=True))


def _cut_axis(input: Symbol, shapes: Sequence[tuple[int, ...]], squeezed: bool) -> int | None:
    """The fixed axis that the parts add up to, None where Slice can not cut it."""
    return None
