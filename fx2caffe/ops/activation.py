"""Activation functions; dropout in eval mode is no layer at all."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from caffe2fx.layers import ReLU, Softmax
from fx2caffe.emit import Emitter, Refused, Symbol
from fx2caffe.lower import handles
from fx2caffe.ops.arguments import positive


@handles(F.relu)
def relu(net: Emitter, input: Symbol, inplace: bool = False) -> Symbol:
    return net.add(ReLU(), input)


@handles(F.leaky_relu)
def leaky_relu(
    net: Emitter, input: Symbol, negative_slope: float = 0.01, inplace: bool = False
) -> Symbol:
    return net.add(ReLU(negative_slope=negative_slope), input)


@handles(F.softmax)
def softmax(
    net: Emitter, input: Symbol, dim: int | None = None, dtype: torch.dtype | None = None
) -> Symbol:
    if dim is None:
        raise Refused("needs dim, got None")
    if dtype not in (None, torch.float32, torch.float64):
        raise Refused(f"needs a result in float32, got dtype {dtype}")
    return net.add(Softmax(axis=positive(dim, input.rank)), input)


# Other dropouts give their very input in eval mode, so that the tracer does not even see them.
@handles(F.dropout1d, F.dropout3d)
def dropout(
    net: Emitter, input: Symbol, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Symbol:
    if training and p > 0:
        raise Refused("needs eval mode: call model.eval()")
    return input
