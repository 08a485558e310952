"""Elementwise functions, by their domains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from caffe2fx import compat
from fx2caffe.ir import graph_functions
from tests.ops.families.base import (
    Arguments,
    Family,
    Random,
    any_of,
    broadcast,
    calls,
    family,
    named,
)

for target in [
    *named("neg abs square sigmoid tanh exp exp2 expm1 sin cos atan sinh cosh asinh erf erfc sinc"),
    *named("round floor ceil trunc frac sign sgn signbit isnan isinf isfinite logical_not"),
    *named("nan_to_num deg2rad rad2deg positive isposinf isneginf angle"),
    *named("relu relu6 selu silu hardswish hardsigmoid mish logsigmoid", F),
    torch.special.ndtr,
]:
    family(target)(any_of("normal halves unit"))
family(*named("sqrt rsqrt log log2 log10 log1p reciprocal"), torch.special.entr)(any_of("positive"))
family(*named("asin acos atanh erfinv"))(any_of("unit"))
family(torch.acosh)(any_of("large"))
family(torch.tan)(any_of("unit"))
family(torch.logit)(any_of("fraction"))


@family(F.hardtanh)
def _limits(r: Random) -> Arguments:
    low = r.choice(-1.0, 0.0, -2.5, 0.5)
    return (r.tensor(r.shape()),), {"min_val": low, "max_val": low + r.choice(0.5, 2.0)}


@family(*named("leaky_relu celu elu hardshrink softshrink", F))
def _one_number(r: Random) -> Arguments:
    return (r.tensor(r.shape(), r.choice("normal", "halves")), r.choice(0.01, 0.5, 1.0, 2.0)), {}


@family(F.softplus)
def _softplus(r: Random) -> Arguments:
    return (r.tensor(r.shape()),), {"beta": r.choice(1, 0.5, 3), "threshold": r.choice(20, 2, 5)}


@calls(F._threshold, F.threshold)
def _threshold(r: Random) -> Arguments:
    scalars = r.choice(0.0, 0.5, -1.0), r.choice(0.0, 7.0, -2.0)
    return (r.tensor(r.shape(), r.choice("normal", "halves")), *scalars), {}


@family(torch._C._nn.elu)
def _elu_of_three_factors(r: Random) -> Arguments:
    factors = [r.choice(0.5, 1.0, 1.5) for _ in range(3)]
    return (r.tensor(r.shape()), *factors), {}


@family(F.prelu)
def _prelu(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    return (r.tensor(shape), r.tensor((r.choice(1, shape[min(1, len(shape) - 1)]),))), {}


@family(F.gelu)
def _gelu(r: Random) -> Arguments:
    return (r.tensor(r.shape()),), {"approximate": r.choice("none", "tanh")}


@family(F.glu)
def _glu(r: Random) -> Arguments:
    shape = list(r.shape(1, 4))
    axis = r.axis(len(shape))
    shape[axis] *= 2
    return (r.tensor(shape), axis), {}


def pair(kinds: str, scalars: Sequence[Any] = ()) -> Family:
    """Draw two tensors that broadcast, or a tensor and a scalar."""

    def draw(r: Random) -> Arguments:
        one, two = broadcast(r, 2)
        first = r.tensor(one, r.choice(*kinds.split()))
        if scalars and r.flag():
            return (first, r.choice(*scalars)), {}
        return (first, r.tensor(two, r.choice(*kinds.split()))), {}

    return draw


family(*named("add sub mul"))(pair("normal halves whole", (2, 0, -1.5)))
family(*named("maximum minimum fmax fmin"))(pair("normal halves"))
family(*named("atan2 hypot copysign logaddexp logaddexp2"))(pair("normal"))
family(*named("gt ge lt le eq ne"))(pair("halves whole", (0, 1, -0.5)))
family(*named("logical_and logical_or logical_xor"))(pair("mask halves"))
family(*named("bitwise_and bitwise_or bitwise_xor"))(pair("mask"))
family(*named("heaviside isclose"))(pair("halves"))
family(*named("xlogy"), torch.special.xlog1py)(pair("positive", (2.0,)))
family(*named("pow float_power"))(pair("positive", (2, 0.5, -1, 3, 0, 1)))
family(*named("remainder fmod floor_divide"))(pair("large", (2, 1.5, -3)))
family(torch.ldexp)(lambda r: ((r.tensor(r.shape(1, 1, 3)), r.integers((1,), 4, -3)), {}))
family(torch.bitwise_not)(any_of("mask"))


@family(torch.div)
def _divided(r: Random) -> Arguments:
    args, _ = pair("large", (2, -1.5))(r)
    return args, {"rounding_mode": r.choice(None, "floor", "trunc")}


@family(torch.add, torch.sub)
def _scaled(r: Random) -> Arguments:
    args, _ = pair("normal", (2,))(r)
    return args, {"alpha": r.choice(2, -0.5)}


@family(torch.clamp)
def _clamped(r: Random) -> Arguments:
    shapes = broadcast(r, 3)
    if r.flag():
        limits = r.choice((None, 0.5), (-1.0, None), (-1, 1), (0.0, 2.5), (1.0, -1.0))
        return (r.tensor(shapes[0]), *limits), {}
    return (r.tensor(shapes[0]), r.tensor(shapes[1]), r.tensor(shapes[2])), {}


@family(torch.lerp, torch.addcmul, torch.addcdiv)
def _three(r: Random) -> Arguments:
    return tuple(r.tensor(shape, "positive") for shape in broadcast(r, 3)), {}


@family(torch.clamp_min, torch.clamp_max)
def _bounded(r: Random) -> Arguments:
    one, two = broadcast(r, 2)
    return (r.tensor(one), r.choice(0.5, -1, r.tensor(two))), {}


@family(torch.where)
def _chosen(r: Random) -> Arguments:
    mask, one, two = broadcast(r, 3)
    first = r.tensor(one) if r.flag() else r.choice(0.0, 2.5)
    return (r.tensor(mask, "mask"), first, r.tensor(two)), {}


@family(torch.masked_fill)
def _filled(r: Random) -> Arguments:
    one, two = broadcast(r, 2)
    number = r.choice(0, -7.5, -math.inf, r.tensor(()))
    return (r.tensor(one), r.tensor(two, "mask"), number), {}


@family(torch.bitwise_left_shift, torch.bitwise_right_shift)
def _shifted(r: Random) -> Arguments:
    one, two = broadcast(r, 2)
    return (r.tensor(one, r.choice("whole", "count")), r.choice(2, r.tensor(two, "count"))), {}


@family(torch.isin)
def _among(r: Random) -> Arguments:
    args = r.tensor(r.shape(0), "halves"), r.tensor(r.shape(0, 2), "halves")
    return args, {"invert": r.flag()}


@family(torch.bucketize)
def _put_in_buckets(r: Random) -> Arguments:
    ends = r.tensor(r.shape(1, 1), "halves").sort()[0]
    return (r.tensor(r.shape(0), "halves"), ends), {"right": r.flag(), "out_int32": r.flag()}


@family(torch.searchsorted)
def _searched(r: Random) -> Arguments:
    lead = r.shape(0, 2, 3)
    ends = r.tensor((*lead, r.number(1, 5)), "halves").sort()[0]
    values = r.tensor((*lead, r.number(1, 4)), "halves")
    return (ends, values), {"right": r.flag()}


@family(torch.fill)
def _all_the_same(r: Random) -> Arguments:
    return (r.tensor(r.shape(0)), r.choice(0, -2.5, r.tensor(()))), {}


@family(F.rrelu)
def _random_slope(r: Random) -> Arguments:
    return (r.tensor(r.shape(0)), r.choice(0.1, 0.25), r.choice(0.25, 0.5)), {"training": False}


@family(Tensor.to)
def _cast(r: Random) -> Arguments:
    value = r.tensor(r.shape(0), r.choice("normal", "halves", "whole", "mask"))
    kind = r.choice(torch.float32, torch.int64, torch.int32, torch.uint8, torch.bool)
    return (value, "cpu", kind) if r.flag() else (value, kind), {}


@calls(compat.RRELU_WITH_NOISE, lambda *args: torch.ops.aten.rrelu_with_noise_functional(*args)[0])
def _random_slope_of_export(r: Random) -> Arguments:
    value = r.tensor(r.shape(0))
    return (value, torch.zeros(value.shape), r.choice(0.1, 0.25), r.choice(0.25, 0.5)), {}


PER_TENSOR = torch.ops.aten.fake_quantize_per_tensor_affine_cachemask.default
PER_CHANNEL = torch.ops.aten.fake_quantize_per_channel_affine_cachemask.default
BY_TENSORS = torch._fake_quantize_per_tensor_affine_cachemask_tensor_qparams


@calls(PER_TENSOR, lambda *args: PER_TENSOR(*args)[0])
@family(torch.fake_quantize_per_tensor_affine)
def _quantized(r: Random) -> Arguments:
    least, zero = r.choice((-128, 0), (0, 3), (-8, -1))
    scale = r.choice(0.25, 0.1, torch.tensor(0.3))
    if isinstance(scale, torch.Tensor):
        zero = torch.tensor(zero, dtype=torch.int32)
    return (r.tensor(r.shape(0), "normal"), scale, zero, least, least + 255), {}


@calls(BY_TENSORS, lambda *args: BY_TENSORS(*args)[0])
def _quantized_by_tensors(r: Random) -> Arguments:
    scale, zero = torch.tensor(r.choice(0.25, 0.1)), torch.tensor(r.number(-3, 3))
    switch = torch.tensor([r.number(0, 1)])
    return (r.tensor(r.shape(0), "normal"), scale, zero, switch, -8, 7), {}


@calls(graph_functions.fake_quantize_per_channel_with_mask, lambda *args: PER_CHANNEL(*args)[0])
@calls(graph_functions.fake_quantize_per_channel_affine, torch.fake_quantize_per_channel_affine)
def _quantized_by_channel(r: Random) -> Arguments:
    shape = r.shape(1, 4)
    axis = r.number(0, len(shape) - 1)
    scales = r.tensor(shape[axis : axis + 1], "positive")
    zeros = torch.arange(shape[axis], dtype=torch.int32) - 2
    return (r.tensor(shape), scales, zeros * r.number(0, 1), axis, -128, 127), {}
