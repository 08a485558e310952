"""batch_norm: Caffe's BatchNorm for the statistics and Scale for weight and bias."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe2fx.layers import BatchNorm, Scale
from fx2caffe.emit import Emitter, Refused, Symbol
from fx2caffe.lower import handles
from fx2caffe.ops.arguments import constant


@handles(F.batch_norm)
def batch_norm(
    net: Emitter,
    input: Symbol,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Symbol:
    if training or running_mean is None or running_var is None:
        raise Refused("needs running statistics: call model.eval()")
    statistics = [constant("running_mean", running_mean), constant("running_var", running_var)]
    blobs = [*statistics, torch.ones(1)]
    if weight is None and bias is None:
        return net.add(BatchNorm(eps=eps), input, blobs=blobs)
    normal = net.add(BatchNorm(eps=eps), input, blobs=blobs, role="bn")
    factor = torch.ones_like(running_mean) if weight is None else constant("weight", weight)
    if bias is None:
        return net.add(Scale(), normal, blobs=[factor])
    return net.add(Scale(bias_term=True), normal, blobs=[factor, constant("bias", bias)])
