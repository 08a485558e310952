"""Rows and twins of forks' layers that are activations."""

from __future__ import annotations

from math import exp

import numpy as np

from caffe2fx.layers.forks.activation import (
    CReLU,
    HardSigmoid,
    HardSwish,
    Mish,
    ReLU6,
    SeLu,
    SeLuDropout,
)
from tests.layers.forks.row import IMAGE
from tests.layers.forks.twin import Array, Arrays, each, twin
from tests.layers.row import Row

ROWS = (
    Row("relu6", ReLU6(), (IMAGE,)),
    Row("relu6 slope", ReLU6(negative_slope=0.1), (IMAGE,)),
    Row("relu6 threshold", ReLU6(negative_slope=0.1, threshold=0.5), (IMAGE,)),
    Row("hard swish", HardSwish(), (IMAGE,), values=((-4, -3, -1, 0, 2, 3, 5),)),
    Row("hard sigmoid", HardSigmoid(alpha=0.3, beta=0.4), (IMAGE,), values=((-4, 4),)),
    Row("hard sigmoid default", HardSigmoid(), (IMAGE,),
        as_text="hardsigmoid_param { alpha: 0.2 }"),
    Row("mish", Mish(), (IMAGE,)),
    Row("selu", SeLu(), (IMAGE,), values=((-30, -1, 0, 1),)),
    Row("selu dropout", SeLuDropout(dropout_ratio=0.2), (IMAGE,)),
    Row("crelu", CReLU(), (IMAGE,)),
    Row("crelu slope", CReLU(negative_slope=0.5, concat_axis=2), (IMAGE,)),
)  # fmt: skip


@twin(CReLU)
def crelu(layer: CReLU, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    slope = layer.negative_slope
    (first,) = each(bottoms[0], lambda x: x if x > 0 else slope * x)
    (second,) = each(bottoms[0], lambda x: -x if x < 0 else slope * -x)
    return (np.concatenate([first, second], layer.concat_axis),)


@twin(HardSwish)
def hard_swish(layer: HardSwish, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    return each(bottoms[0], lambda x: 0.0 if x <= -3 else x if x >= 3 else x * (x + 3) / 6)


@twin(HardSigmoid)
def hard_sigmoid(layer: HardSigmoid, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    return each(bottoms[0], lambda x: min(1.0, max(0.0, layer.alpha * x + layer.beta)))


@twin(SeLu)
def selu(layer: SeLu, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    scale, alpha = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
    return each(bottoms[0], lambda x: scale * (x if x > 0 else alpha * exp(x) - alpha))


@twin(SeLuDropout)
def selu_dropout(layer: SeLuDropout, bottoms: Arrays, blobs: Arrays) -> tuple[Array, ...]:
    return tuple(bottoms)
