"""Decompositions of LRN, Scale, Bias and Standardize."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from caffe2fx.layers import (
    LRN,
    Bias,
    Eltwise,
    NormRegion,
    Pooling,
    PoolMethod,
    Power,
    Reduction,
    ReductionOp,
    Scale,
)
from caffe2fx.layers.layer import axis_of
from fx2caffe.ir.binary import PRODUCT
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.index_map import index_map
from fx2caffe.ir.reshape import as_image, reshaped, split_shape, viewed
from fx2caffe.ir.standardize import Standardize
from fx2caffe.ir.symbol import Refused
from fx2caffe.legalize.rule import LayerCall, Tops


def by_reductions(net: Emitter, call: LayerCall[Standardize]) -> Tops:
    """Take the variance of the centred bottom: BatchNorm would need one blob entry a sample,
    and MVN adds eps to the deviation instead of the variance.

    before: Standardize{axis}
    after:  Reduction{MEAN coeff: -1}, Bias, Reduction{SUMSQ}, Power{power: -0.5 shift: eps}, Scale
    """
    layer, bottom = call.layer, call.bottom
    count = prod(bottom.static_size(axis) for axis in range(layer.axis, bottom.rank))
    if layer.centred:
        mean = Reduction(operation=ReductionOp.MEAN, axis=layer.axis, coeff=-1)
        bottom = net.add(
            Bias(axis=0), bottom, net.add(mean, bottom, suffix="mean"), suffix="centred"
        )
    square = Reduction(operation=ReductionOp.SUMSQ, axis=layer.axis, coeff=1 / count)
    variance = net.add(square, bottom, suffix="variance")
    inverse = net.add(Power(power=-0.5, shift=layer.eps), variance, suffix="inverse")
    return (net.add(Scale(axis=0), bottom, inverse),)


def by_averages(net: Emitter, call: LayerCall[Standardize]) -> Tops:
    """Compute mean and variance by poolings, each repeated by a Deconvolution.

    before: Standardize{axis}
    after:  Reshape (1,rows,n,1), Pooling{AVE}, Deconvolution, Eltwise{coeff: 1, -1}, Power{2},
            Pooling{AVE}, Power{power: -0.5 shift: eps}, Deconvolution, Eltwise{PROD}, Reshape
    """
    layer, bottom = call.layer, call.bottom
    rows, count, _ = split_shape(bottom, layer.axis, bottom.rank - 1)
    image = as_image(net, bottom, (rows, count, 1))
    average = Pooling(pool=PoolMethod.AVE, global_pooling=True)
    copies = {2: (0,) * count}
    if layer.centred:
        mean = index_map(net, net.add(average, image, suffix="mean"), copies, suffix="means")
        image = net.add(Eltwise(coeff=(1, -1)), image, mean, suffix="centred")
    square = net.add(Power(power=2), image, suffix="square")
    variance = net.add(average, square, suffix="variance")
    inverse = net.add(Power(power=-0.5, shift=layer.eps), variance, suffix="inverse")
    factor = index_map(net, inverse, copies, suffix="factor")
    normal = net.add(PRODUCT, image, factor, suffix="normal")
    return (reshaped(net, normal, bottom.shape, bottom.other_shape),)


def lrn_k_by_scaling(net: Emitter, call: LayerCall[LRN]) -> Tops | None:
    """Decompose x / (k + a s)^b as k^-b x / (1 + a/k s)^b; within channels Caffe reads no k."""
    layer, bottom = call.layer, call.bottom
    if layer.k == 1:
        return None
    if layer.norm_region is NormRegion.WITHIN_CHANNEL:
        return (net.add(layer.replace(k=1.0), bottom),)
    unit = layer.replace(k=1.0, alpha=layer.alpha / layer.k)
    return (net.add(Power(scale=layer.k**-layer.beta), net.add(unit, bottom, suffix="normalized")),)


def affine_on_channels(net: Emitter, call: LayerCall[Scale | Bias]) -> Tops | None:
    """Move a blob over any axes to the channels, repeating it for the axes in front.

    before: Scale{axis: 2 num_axes: 2} of (N,C,H,W)
    after:  Reshape (N,CHW,1,1), Scale with the blob C times, Reshape
    """
    layer, bottoms, blobs = call.layer, call.bottoms, call.blobs
    if len(bottoms) != 1:
        raise Refused("needs a blob, got a second bottom")
    bottom = bottoms[0]
    factor, shift = _factor_and_shift(layer, blobs)
    if factor.dim() == 0:
        return (net.add(Power(scale=float(factor), shift=float(shift)), bottom),)
    axis = axis_of(layer.axis, bottom.rank)
    lead = 1 if axis > 0 and bottom.rank > 1 else 0
    outer = prod(bottom.static_size(a) for a in range(lead, axis))
    inner = prod(bottom.static_size(a) for a in range(axis + factor.dim(), bottom.rank))
    blobs = [blob.flatten().repeat(outer) for blob in (factor, shift)]
    plain = Scale(bias_term=bool((shift != 0).any()))
    if plain.bias_term is False:
        blobs = blobs[:1]
    if (axis, factor.dim()) == (1, 1):
        if plain == layer:
            return None
        return (net.add(plain, bottom, blobs=blobs),)
    count = outer * factor.numel()
    image = viewed(net, bottom, lambda s: (prod(s[:lead]), count, inner, 1), suffix="image")
    made = net.add(plain, image, blobs=blobs, suffix="scaled")
    return (reshaped(net, made, bottom.shape, bottom.other_shape),)


def _factor_and_shift(layer: Scale | Bias, blobs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    if isinstance(layer, Bias):
        return torch.ones_like(blobs[0]), blobs[0]
    return blobs[0], blobs[1] if layer.bias_term else torch.zeros_like(blobs[0])
