"""Functions of complex values that do the same to both parts, by the handlers of real values."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fx2caffe.ir import graph_functions
from fx2caffe.ir.complex_pair import ComplexPair, is_complex, parts_of
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.lowering.complex_calls import handles_complex
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.handler_calls import called
from fx2caffe.lowering.registry import handlers
from fx2caffe.ops.blocks import affine, inside

PARTS = ("real", "imag")


def zeros_like(net: Emitter, symbol: Symbol) -> Symbol:
    """Return zeros of the shape of a symbol, for any batch."""
    return affine(net, symbol, 0, suffix="zeros")


def real_part(net: Emitter, value: ComplexPair) -> Symbol:
    """Return the real part of a pair, as layers also where it is zero."""
    return zeros_like(net, value.present[0]) if value.real is None else value.real


def imaginary_part(net: Emitter, value: ComplexPair) -> Symbol:
    """Return the imaginary part of a pair, as layers also where it is zero."""
    return zeros_like(net, value.present[0]) if value.imag is None else value.imag


def _of_each_part(function: Callable[..., Any], positions: Sequence[int]) -> None:
    """Register a function that is linear in its arguments at `positions` together.

    These are tensors, numbers or lists of tensors; all other arguments are the same for both parts.
    """

    def each(net: Emitter, *args: Any, out: Expected, **kwargs: Any) -> Any:
        made: list[Any] = []
        for index, part in enumerate(PARTS):
            values = [args[at] for at in positions]
            if not any(_is_there(value, index) for value in values):
                made.append(None)
                continue
            given = list(args)
            for at, value in zip(positions, values, strict=True):
                given[at] = inside(net, part, _part, value, index)
            handler = handlers()[function]
            made.append(inside(net, part, called, handler, given, kwargs, _in_float32(out)))
        return _paired(*made)

    handles_complex(function)(each)


def _is_there(value: Any, index: int) -> bool:
    """Return whether a part of a value, or of one in a list, is not zero."""
    if isinstance(value, tuple | list):
        return any(_is_there(item, index) for item in value)
    return parts_of(value)[index] is not None


def _part(net: Emitter, value: Any, index: int) -> Any:
    """Return a part of an argument, as zeros of its kind and shape where it is zero."""
    if isinstance(value, tuple | list):
        return [_part(net, item, index) for item in value]
    part = parts_of(value)[index]
    if part is not None:
        return part
    if isinstance(value, ComplexPair):
        return zeros_like(net, value.present[0])
    if isinstance(value, Symbol):
        return zeros_like(net, value)
    return torch.zeros(value.shape) if isinstance(value, Tensor) else 0.0


def _in_float32(out: Expected) -> Expected:
    """Return the expectation of a part of the result."""
    return Expected(_float32(out.meta), _float32(out.other_meta), out.read)


def _float32(meta: Any) -> Any:
    if isinstance(meta, tuple | list):
        return [_float32(item) for item in meta]
    return torch.empty(meta.shape, device="meta")


def _paired(real: Any, imag: Any) -> Any:
    """Return the pair of two results, or a tuple of pairs for several results."""
    several = real if isinstance(real, tuple | list) else imag
    if not isinstance(several, tuple | list):
        return ComplexPair(real, imag)
    nothing = [None] * len(several)
    parts = zip(real or nothing, imag or nothing, strict=True)
    return tuple(ComplexPair(*pair) if any(pair) else None for pair in parts)


def _each(functions: Iterable[Callable[..., Any]], *positions: int) -> None:
    for function in functions:
        _of_each_part(function, positions)


_each((
    torch.reshape, torch.flatten, torch.unflatten, torch.permute, torch.transpose, torch.movedim,
    torch.squeeze, torch.unsqueeze, Tensor.expand, torch.broadcast_to, operator.getitem,
    torch.narrow, torch.select, torch.slice_copy, torch.split, torch.chunk, torch.tensor_split,
    torch.unbind, torch.flip, torch.fliplr, torch.flipud, torch.rot90, torch.roll, Tensor.repeat,
    torch.tile, torch.repeat_interleave, torch.index_select, torch.gather, torch.take_along_dim,
    torch.diagonal, torch.diag_embed, torch.tril, torch.triu, Tensor.unfold, torch.fft.fftshift,
    torch.fft.ifftshift, torch.sum, torch.mean, torch.cumsum, torch.diff, torch.neg,
    torch.cat, torch.stack, torch.hstack, torch.vstack, torch.dstack, torch.column_stack,
    graph_functions.index_map, graph_functions.sample_map,
), 0)  # fmt: skip
_each((torch.where,), 1, 2)
_each((graph_functions.setitem, torch.masked_fill), 0, 2)
_each((torch.index_copy, torch.index_add, torch.scatter, torch.scatter_add), 0, 3)


@handles_complex(F.pad, torch.constant_pad_nd)
def pad(
    net: Emitter, input: ComplexPair, pad: Sequence[int], *rest: Any, out: Expected, **named: Any
) -> Any:
    """Pad both parts, the imaginary one with zeros."""
    value = named.pop("value", None) if "value" in named or not rest else rest[-1]
    mode = next((m for m in (*rest, *named.values()) if isinstance(m, str)), "constant")
    if value or is_complex(value):
        raise Refused(f"needs complex values to be padded with 0, got {value}")
    handler = handlers()[F.pad]
    parts = (
        None if part is None else inside(net, name, called, handler, (part, pad, mode), {}, out)
        for name, part in zip(PARTS, (input.real, input.imag), strict=True)
    )
    return _paired(*parts)
