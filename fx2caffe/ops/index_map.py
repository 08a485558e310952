"""Functions that only move elements: torch's own function runs on flat indices."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe2fx import compat
from caffe2fx.layers import Deconvolution, Im2col, Slice
from caffe2fx.layers.layer import Layer
from caffe2fx.messages.message import Shape
from fx2caffe.ir.constants import as_symbol
from fx2caffe.ir.data_movement import positions, rearrange, take_at
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.index_map import PADDING, index_map
from fx2caffe.ir.permute import Permute
from fx2caffe.ir.reshape import reshaped, viewed
from fx2caffe.ir.symbol import Operand, Refused, Symbol
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.arguments import per_axis, positive
from fx2caffe.ops.blocks import clipped, inside, side_by_side
from fx2caffe.ops.indexing import indexed
from fx2caffe.ops.selection import select

Parts = tuple[Operand, ...]  # empty tensors are constants


@handles(operator.getitem)
def getitem(net: Emitter, input: Any, index: Any) -> Any:
    parts = index if isinstance(index, tuple | list) else (index,)
    if any(isinstance(part, Symbol) for part in parts):
        return indexed(net, input, index)
    if not isinstance(input, Symbol):
        return input[index]
    return rearrange(net, input, lambda x: x[index])


@handles(compat.UNSAFE_MASKED_INDEX)
def unsafe_masked_index(
    net: Emitter, input: Operand, mask: Operand, indices: Sequence[Operand], fill: float
) -> Symbol:
    """Return input[indices] where the mask is true, else `fill`, where indices may be too large."""
    sizes = zip(indices, input.shape, strict=False)
    computed = tuple(_within(net, index, size) for index, size in sizes)
    return select(net, mask, getitem(net, input, computed), fill)


def _within(net: Emitter, index: Operand, size: int) -> Operand:
    if isinstance(index, Symbol):
        return clipped(net, index, -size, size - 1, "clipped")
    return index.clamp(-size, size - 1)


def _moves(*functions: Callable[..., Any]) -> None:
    """Register functions that move their first argument and whose others are constants."""
    for function in functions:

        def move(
            net: Emitter,
            input: Symbol,
            *args: Any,
            _function: Callable[..., Any] = function,
            **kwargs: Any,
        ) -> Symbol:
            return rearrange(net, input, lambda x: _function(x, *args, **kwargs))

        handles(function)(move)


_moves(
    torch.permute, torch.transpose, torch.movedim, torch.narrow, torch.select, torch.flip,
    torch.fliplr, torch.flipud, torch.rot90, torch.roll, torch.tile,
    Tensor.repeat, torch.repeat_interleave, torch.diagonal, torch.adjoint,
    Tensor.unfold, torch.combinations, torch.permute_copy, torch.transpose_copy,
    torch.narrow_copy, torch.select_copy, torch.diagonal_copy, torch.unfold_copy, torch.t_copy,
    torch.slice_copy, torch.fft.fftshift, torch.fft.ifftshift,
)  # fmt: skip


@handles(Tensor.expand, torch.broadcast_to, torch.expand_copy)
def expand(net: Emitter, input: Symbol, *args: Any, out: Expected, **kwargs: Any) -> Symbol:
    return expanded(net, input, out.shape, out.other_shape)


def expanded(net: Emitter, input: Symbol, shape: Shape, other: Shape) -> Symbol:
    """Repeat `input` along its axes of size 1, and along new axes in front, to `shape`."""
    if (shape, other) == (input.shape, input.other_shape):
        return input
    index = positions(input.shape).expand(shape)
    return take_at(net, input, index, positions(input.other_shape).expand(other))


@handles(torch.split)
def split(
    net: Emitter, tensor: Symbol, split_size_or_sections: int | Sequence[int], dim: int = 0
) -> Parts:
    sections = split_size_or_sections
    sections = sections if isinstance(sections, int) else list(sections)
    return _parts(net, tensor, dim, lambda x: torch.split(x, sections, dim))


@handles(torch.split_with_sizes, torch.split_with_sizes_copy)
def split_with_sizes(
    net: Emitter, input: Symbol, split_sizes: Sequence[int], dim: int = 0
) -> Parts:
    return _parts(net, input, dim, lambda x: torch.split(x, list(split_sizes), dim))


@handles(torch.chunk)
def chunk(net: Emitter, input: Symbol, chunks: int, dim: int = 0) -> Parts:
    return _parts(net, input, dim, lambda x: torch.chunk(x, chunks, dim))


@handles(torch.tensor_split)
def tensor_split(
    net: Emitter,
    input: Symbol,
    indices_or_sections: int | Sequence[int] | None = None,
    dim: int = 0,
    *,
    indices: Sequence[int] | None = None,
    sections: int | None = None,
) -> Parts:
    given = (indices_or_sections, indices, sections)
    cuts = next(cut for cut in given if cut is not None)
    if isinstance(cuts, Symbol):
        raise Refused("needs constant indices, got some that depend on the input")
    return _parts(net, input, dim, lambda x: torch.tensor_split(x, cuts, dim))


@handles(torch.hsplit)
def hsplit(net: Emitter, input: Symbol, indices_or_sections: int | Sequence[int]) -> Parts:
    return tensor_split(net, input, indices_or_sections, min(1, input.rank - 1))


@handles(torch.vsplit)
def vsplit(net: Emitter, input: Symbol, indices_or_sections: int | Sequence[int]) -> Parts:
    return tensor_split(net, input, indices_or_sections, 0)


@handles(torch.dsplit)
def dsplit(net: Emitter, input: Symbol, indices_or_sections: int | Sequence[int]) -> Parts:
    return tensor_split(net, input, indices_or_sections, 2)


@handles(torch.unbind, torch.unbind_copy)
def unbind(net: Emitter, input: Symbol, dim: int = 0) -> Parts:
    return _parts(net, input, dim, lambda x: torch.unbind(x, dim))


def _parts(
    net: Emitter, input: Symbol, dim: int, cut: Callable[[Tensor], Sequence[Tensor]]
) -> Parts:
    """Slice into one top per part; a size 1 axis that torch drops is removed by a reshape."""
    axis = positive(dim, input.rank)
    shapes, others = (
        [tuple(part.shape) for part in cut(torch.empty(sizes, device="meta"))]
        for sizes in (input.shape, input.other_shape)
    )
    sizes = [shape[axis] if len(shape) == input.rank else 1 for shape in shapes]
    if input.carries_batch(axis) or len(sizes) == 1 or 0 in sizes:
        return tuple(
            rearrange(net, input, partial(_part, cut, index))
            if 0 not in shape
            else torch.zeros(shape)
            for index, shape in enumerate(shapes)
        )
    points = tuple(sum(sizes[:i]) for i in range(1, len(sizes)))
    layer = Slice(axis=axis, slice_point=points if len(set(sizes)) > 1 else ())
    parts = net.add_many(layer, input, tops=len(sizes))
    return tuple(
        reshaped(net, part, shape, other, suffix=f"part{index}")
        for index, (part, shape, other) in enumerate(zip(parts, shapes, others, strict=True))
    )


def _part(cut: Callable[[Tensor], Sequence[Tensor]], index: int, value: Tensor) -> Tensor:
    return cut(value)[index]


@handles(torch.stack)
def stack(net: Emitter, tensors: Sequence[Operand], dim: int = 0, *, out: Expected) -> Symbol:
    axis = positive(dim, len(out.shape))
    parts = [as_symbol(net, tensor, suffix=f"part{i}") for i, tensor in enumerate(tensors)]
    return _joined(net, parts, axis, lambda sizes: (*sizes[:axis], 1, *sizes[axis:]))


@handles(torch.hstack)
def hstack(net: Emitter, tensors: Sequence[Operand]) -> Symbol:
    parts = [as_symbol(net, tensor, suffix=f"part{i}") for i, tensor in enumerate(tensors)]
    is_line = all(part.rank < 2 for part in parts)
    return _joined(net, parts, 0 if is_line else 1, lambda sizes: sizes or (1,))


@handles(torch.vstack)
def vstack(net: Emitter, tensors: Sequence[Operand]) -> Symbol:
    parts = [as_symbol(net, tensor, suffix=f"part{i}") for i, tensor in enumerate(tensors)]
    return _joined(net, parts, 0, lambda sizes: (1,) * (2 - len(sizes)) + sizes)


@handles(torch.column_stack)
def column_stack(net: Emitter, tensors: Sequence[Operand]) -> Symbol:
    parts = [as_symbol(net, tensor, suffix=f"part{i}") for i, tensor in enumerate(tensors)]
    return _joined(net, parts, 1, lambda s: (*(s or (1,)), 1) if len(s) < 2 else s)


@handles(torch.dstack)
def dstack(net: Emitter, tensors: Sequence[Operand]) -> Symbol:
    parts = [as_symbol(net, tensor, suffix=f"part{i}") for i, tensor in enumerate(tensors)]
    return _joined(net, parts, 2, lambda s: (1,) * (2 - len(s)) + s + (1,) * (len(s) < 3))


@handles(compat.CHUNK_CAT)
def chunk_cat(net: Emitter, tensors: Sequence[Operand], dim: int, num_chunks: int) -> Symbol:
    """Pad each tensor to equal chunks along an axis and concatenate the chunks."""
    parts = [as_symbol(net, tensor, suffix=f"part{i}") for i, tensor in enumerate(tensors)]
    axis = positive(dim, parts[0].rank)
    whole = []
    for part in parts:
        missing = -part.static_size(axis) % num_chunks
        pad = [0, 0] * (part.rank - axis - 1) + [0, missing]
        whole.append(_padded_last_axes(net, part, pad, "constant", None))
    return _joined(
        net, whole, axis + 1, lambda s: (*s[:axis], num_chunks, prod(s[axis:]) // num_chunks)
    )


def _joined(
    net: Emitter, parts: Sequence[Symbol], axis: int, view: Callable[[Shape], Shape]
) -> Symbol:
    views = [viewed(net, part, view, suffix=f"view{i}") for i, part in enumerate(parts)]
    return side_by_side(net, views, axis)


@handles(F.pad)
def pad(
    net: Emitter, input: Symbol, pad: Sequence[int], mode: str = "constant",
    value: float | None = None,
) -> Symbol:  # fmt: skip
    return _padded_last_axes(net, input, pad, mode, value)


@handles(torch.constant_pad_nd)
def constant_pad_nd(net: Emitter, input: Symbol, pad: Sequence[int], value: float = 0) -> Symbol:
    return _padded_last_axes(net, input, pad, "constant", value)


def _padded_last_axes(
    net: Emitter, input: Symbol, pad: Sequence[int], mode: str, value: float | None
) -> Symbol:
    """Pad the last axes on both sides; `pad` lists the last axis first."""
    sides = [(pad[2 * i], pad[2 * i + 1]) for i in range(len(pad) // 2)]
    indices = {
        axis: _padded(input.static_size(axis), pair, mode)
        for axis, pair in zip(range(input.rank - 1, -1, -1), sides, strict=False)
        if pair != (0, 0)
    }
    if not all(indices.values()):
        raise Refused(f"needs a result with elements in it, got pad {tuple(pad)}")
    return index_map(net, input, indices, outside=0.0 if value is None else float(value))


def _padded(size: int, pair: tuple[int, int], mode: str) -> list[int]:
    """Return the indices that torch's own padding reads along one axis."""
    line = torch.arange(size, dtype=torch.float64).reshape(1, 1, size)
    value = float(PADDING) if mode == "constant" else None
    return [int(index) for index in F.pad(line, pair, mode, value).flatten()]


@handles(torch._C._nn.pad_sequence)
def pad_sequence(
    net: Emitter, sequences: Sequence[Operand], batch_first: bool = False,
    padding_value: float = 0.0, padding_side: str = "right", *, out: Expected,
) -> Symbol:  # fmt: skip
    """Pad each sequence along its first axis to the longest, and stack them."""
    parts = [as_symbol(net, tensor, suffix=f"sequence{i}") for i, tensor in enumerate(sequences)]
    longest = max(part.static_size(0) for part in parts)
    padded = []
    for i, part in enumerate(parts):
        missing = longest - part.static_size(0)
        sides = [missing, 0] if padding_side == "left" else [0, missing]
        pad = [*([0, 0] * (part.rank - 1)), *sides]
        padded.append(inside(net, f"pad{i}", constant_pad_nd, part, pad, padding_value))
    return stack(net, padded, 0 if batch_first else 1, out=out)


@handles(F.channel_shuffle, F.native_channel_shuffle)
def channel_shuffle(net: Emitter, input: Symbol, groups: int) -> Symbol:
    return regrouped(net, input, groups)


def regrouped(net: Emitter, input: Symbol, groups: int) -> Symbol:
    """Transpose channels seen as (groups, rest) to (rest, groups)."""
    grouped = viewed(
        net, input, lambda s: (*s[:1], groups, s[1] // groups, *s[2:]), suffix="groups"
    )
    order = (0, 2, 1, *range(3, grouped.rank))
    shuffled = net.add(Permute(order=order), grouped, suffix="shuffle")
    return reshaped(net, shuffled, input.shape, input.other_shape)


@handles(F.pixel_unshuffle)
def pixel_unshuffle(net: Emitter, input: Symbol, downscale_factor: int, *, out: Expected) -> Symbol:
    layer = Im2col(kernel_size=(downscale_factor,), stride=(downscale_factor,))
    return _on_images(net, input, out, layer)


@handles(F.pixel_shuffle)
def pixel_shuffle(net: Emitter, input: Symbol, upscale_factor: int, *, out: Expected) -> Symbol:
    taps = upscale_factor**2
    channels = input.static_size(input.rank - 3) // taps
    layer = Deconvolution(
        num_output=channels,
        group=channels,
        bias_term=False,
        kernel_size=(upscale_factor,),
        stride=(upscale_factor,),
    )
    ones = torch.eye(taps).reshape(taps, 1, upscale_factor, upscale_factor)
    return _on_images(net, input, out, layer, ones.repeat(channels, 1, 1, 1))


def _on_images(net: Emitter, input: Symbol, out: Expected, layer: Layer, *blobs: Tensor) -> Symbol:
    """Apply a layer to the last three axes, as images."""
    if input.rank == 4:
        return net.add(layer, input, blobs=blobs)
    images = viewed(net, input, lambda s: (prod(s[:-3]), *s[-3:]), suffix="images")
    made = net.add(layer, images, blobs=blobs, suffix="moved")
    return reshaped(net, made, out.shape, out.other_shape)


def _image(input: Symbol) -> Symbol:
    if input.rank != 4:
        raise Refused(f"needs an input of shape (N, C, H, W), got {input.shape}")
    return input


@handles(F.unfold)
def unfold(
    net: Emitter,
    input: Symbol,
    kernel_size: int | Sequence[int],
    dilation: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    stride: int | Sequence[int] = 1,
    *,
    out: Expected,
) -> Symbol:
    layer = Im2col(
        kernel_size=per_axis(kernel_size, 2),
        dilation=per_axis(dilation, 2),
        pad=per_axis(padding, 2),
        stride=per_axis(stride, 2),
    )
    return reshaped(
        net, net.add(layer, _image(input), suffix="windows"), out.shape, out.other_shape
    )
