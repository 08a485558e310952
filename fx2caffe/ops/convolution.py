"""conv2d and linear."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from caffe2fx.layers import Convolution, InnerProduct
from fx2caffe.emit import Emitter, Refused, Symbol
from fx2caffe.lower import handles
from fx2caffe.ops.arguments import constant, per_axis


@handles(F.conv2d)
def conv2d(
    net: Emitter,
    input: Symbol,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Symbol:
    kernel = tuple(constant("weight", weight).shape[2:])
    spread = per_axis(dilation, len(kernel))
    layer = Convolution(
        num_output=weight.shape[0],
        bias_term=bias is not None,
        kernel_size=kernel,
        stride=per_axis(stride, len(kernel)),
        pad=_padding(padding, kernel, spread),
        dilation=spread,
        group=groups,
    )
    blobs = [weight] if bias is None else [weight, constant("bias", bias)]
    return net.add(layer, input, blobs=blobs)


def _padding(
    padding: int | Sequence[int] | str, kernel: Sequence[int], dilation: Sequence[int]
) -> tuple[int, ...]:
    if padding == "valid":
        return (0,) * len(kernel)
    if not isinstance(padding, str):
        return per_axis(padding, len(kernel))
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if any(pad % 2 for pad in total):
        raise Refused(f"needs padding='same' to be even on both sides, got {total} in all")
    return tuple(pad // 2 for pad in total)


@handles(F.linear)
def linear(net: Emitter, input: Symbol, weight: Tensor, bias: Tensor | None = None) -> Symbol:
    layer = InnerProduct(
        num_output=constant("weight", weight).shape[0],
        bias_term=bias is not None,
        axis=1 if input.rank == 2 else -1,
    )
    blobs = [weight] if bias is None else [weight, constant("bias", bias)]
    return net.add(layer, input, blobs=blobs)
