"""Fold BatchNorm, Scale and Bias into the layer before them, by dataflow.

before: Convolution -> BatchNorm -> Scale        after: Convolution
before: Concat -> BatchNorm -> Scale             after: Concat -> Scale
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from caffe2fx.layers import BatchNorm, Bias, Convolution, Deconvolution, InnerProduct, Scale
from caffe2fx.layers.layer import Layer, axis_of
from caffe2fx.layers.normalization import normalized_statistics
from caffe2fx.messages.message import Shape
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value
from caffe2fx.optimize.affine import Affine
from caffe2fx.optimize.view import is_plain

Product = Convolution | Deconvolution | InnerProduct


PART = 1 << 18  # elements that are converted to float64 at a time


def fold_batchnorm(net: Net) -> Net:
    """Fold each per-channel affine layer whose producer has no other reader.

    The fold is computed in float64 and stored in float32. Values keep their names: a folded
    convolution's top is the BatchNorm's top.
    """
    uses, shapes = net.uses(), net.shapes()
    kept: dict[Value, Step] = {}
    order: list[Value | None] = []
    others: list[Step] = []
    for step in net.steps:
        before = kept.get(step.bottoms[0]) if len(step.bottoms) == 1 else None
        alone = before is not None and uses[step.bottoms[0]] == 1 and is_plain(step)
        folded = _fold(before, step, shapes) if before is not None and alone else None
        if folded is not None and before is not None:
            order.remove(before.tops[0])
            del kept[before.tops[0]]
        made = folded if folded is not None else step
        if len(made.tops) == 1:
            kept[made.tops[0]] = made
            order.append(made.tops[0])
        else:
            order.append(None)
            others.append(made)
    waiting = iter(others)
    steps = tuple(next(waiting) if v is None else kept[v] for v in order)
    return replace(net, steps=steps)


def _fold(before: Step, step: Step, shapes: dict[Value, Shape]) -> Step | None:
    """Return one step that computes `before` and then `step`, None if there is none."""
    second = affine_of(step, shapes)
    if second is None:
        return None
    if isinstance(before.layer, Product):
        return _into_product(before, step, second, shapes)
    first = affine_of(before, shapes)
    if first is None:
        return None
    layer, blobs = _as_scale(second.after(first))
    params = step.params if isinstance(step.layer, Scale) else ()
    return replace(step, layer=layer, bottoms=before.bottoms, blobs=blobs, params=params)


def _as_scale(affine: Affine) -> tuple[Layer, tuple[Tensor, ...]]:
    layer = Scale(bias_term=True)
    return layer, (affine.factor.float(), affine.offset.float())


def affine_of(step: Step, shapes: dict[Value, Shape]) -> Affine | None:
    """Return the per-channel affine map that a step computes, None if it is not one."""
    layer = step.layer
    if not isinstance(layer, BatchNorm | Scale | Bias) or len(step.bottoms) != 1:
        return None
    bottom, blobs = shapes[step.bottoms[0]], [blob.double() for blob in step.blobs]
    if len(bottom) < 2:
        return None
    if isinstance(layer, BatchNorm) and layer.use_global_stats is not False:
        mean, variance = normalized_statistics(blobs)
        factor = (variance + layer.eps).rsqrt()
        return Affine(factor, -mean * factor)
    if isinstance(layer, BatchNorm) or not _per_channel(layer, bottom):
        return None
    if isinstance(layer, Bias):
        return Affine(torch.ones_like(blobs[0]), blobs[0])
    return Affine(blobs[0], blobs[1] if layer.bias_term else torch.zeros_like(blobs[0]))


def _per_channel(layer: Scale | Bias, bottom: Shape) -> bool:
    axis = axis_of(layer.axis, len(bottom))
    return axis == 1 and (layer.num_axes == 1 or (layer.num_axes == -1 and len(bottom) == 2))


def _into_product(
    product: Step, step: Step, affine: Affine, shapes: dict[Value, Shape]
) -> Step | None:
    layer = product.layer
    assert isinstance(layer, Product)
    bottom = shapes[product.bottoms[0]]
    on_axis = axis_of(layer.axis, len(bottom)) == 1
    shared = any(spec.name for spec in product.params)
    fixed = not shared and not product.dynamic
    if not on_axis or not fixed or (isinstance(layer, InnerProduct) and layer.transpose):
        return None
    blobs = _folded_blobs(layer, product.blobs, affine)
    return replace(product, layer=layer.replace(bias_term=True), tops=step.tops, blobs=blobs)


def _folded_blobs(layer: Product, blobs: Sequence[Tensor], affine: Affine) -> tuple[Tensor, Tensor]:
    """Return the weight scaled for each output, and the folded bias."""
    # A weight's first axis is the outputs; a Deconvolution's is (inputs, outputs) by group.
    groups = layer.group if isinstance(layer, Deconvolution) else 1
    shape = (groups, 1, -1, 1) if isinstance(layer, Deconvolution) else (1, -1, 1, 1)
    rows = blobs[0].reshape(groups, len(blobs[0]) // groups, blobs[0].shape[1], -1)
    weight = _scaled(rows, affine.factor.reshape(shape).expand(*rows.shape[:3], 1))
    bias = blobs[1].double() * affine.factor if len(blobs) == 2 else torch.zeros_like(affine.factor)
    return weight.reshape(blobs[0].shape), (bias + affine.offset).float()


def _scaled(rows: Tensor, factor: Tensor) -> Tensor:
    """Return rows * factor, computed in float64 in parts to avoid a large float64 copy."""
    scaled = torch.empty_like(rows)
    parts = max(1, rows.numel() // PART)
    for mine, row, by in zip(
        scaled.tensor_split(parts, 1),
        rows.tensor_split(parts, 1),
        factor.tensor_split(parts, 1),
        strict=True,
    ):
        mine.copy_(row.double() * by)
    return scaled
