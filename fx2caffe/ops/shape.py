"""Reshapes, and cat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fx2caffe.ir.constants import as_symbol
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.reshape import reshaped
from fx2caffe.ir.symbol import Operand, Symbol
from fx2caffe.lowering.expected import Expected
from fx2caffe.lowering.registry import handles
from fx2caffe.ops.arguments import positive
from fx2caffe.ops.blocks import side_by_side


@handles(torch.cat)
def cat(net: Emitter, tensors: Sequence[Operand], dim: int = 0) -> Symbol:
    symbols = [
        as_symbol(net, tensor, suffix=f"part{index}") for index, tensor in enumerate(tensors)
    ]
    return side_by_side(net, symbols, positive(dim, symbols[0].rank))


@handles(
    torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze, torch.unflatten, torch.ravel,
    torch.view_copy, torch.squeeze_copy, torch.unsqueeze_copy,
)  # fmt: skip
def reshape(net: Emitter, input: Operand, *args: Any, out: Expected, **kwargs: Any) -> Operand:
    if isinstance(input, Tensor):
        return input.reshape(out.shape)
    return reshaped(net, input, out.shape, out.other_shape)


@handles(torch.atleast_1d, torch.atleast_2d, torch.atleast_3d)
def at_least(net: Emitter, *tensors: Any, out: Expected) -> Any:
    """Reshape one tensor, or several alone or in a list, each to the shape that torch gives it."""
    listed = tensors[0] if isinstance(tensors[0], (tuple, list)) else tensors
    if hasattr(out.meta, "shape"):
        return reshape(net, listed[0], out=out)
    pairs = zip(listed, out.meta, out.other_meta, strict=True)
    return tuple(reshape(net, one, out=Expected(meta, other)) for one, meta, other in pairs)
