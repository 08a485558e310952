"""Operations that move numbers: cat, flatten, reshape, getitem on tuples."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from caffe2fx.layers import Concat
from fx2caffe.emit import Emitter, Refused, Symbol
from fx2caffe.lower import Expected, handles
from fx2caffe.ops.arguments import positive
from fx2caffe.ops.constant import as_symbol
from fx2caffe.reshaping import reshaped


@handles(operator.getitem)
def getitem(net: Emitter, input: Any, index: Any) -> Any:
    if isinstance(input, Symbol):
        raise Refused("of a tensor has no handler yet")
    return input[index]


@handles(torch.cat)
def cat(net: Emitter, tensors: Sequence[Symbol | Tensor], dim: int = 0) -> Symbol:
    symbols = [
        as_symbol(net, tensor, role=f"part{index}") for index, tensor in enumerate(tensors)
    ]
    # torch lets an empty tensor of shape (0,) be part of any cat.
    symbols = [symbol for symbol in symbols if symbol.shape != (0,)]
    return net.add(Concat(axis=positive(dim, symbols[0].rank)), *symbols)


@handles(torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze, torch.unflatten)
def reshape(net: Emitter, input: Symbol, *args: Any, out: Expected, **kwargs: Any) -> Symbol:
    return reshaped(net, input, out.shape, out.other)
