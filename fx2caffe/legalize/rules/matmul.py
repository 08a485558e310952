"""Decompositions of MatMul."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import torch

from caffe2fx.layers import Convolution, InnerProduct
from caffe2fx.messages.message import Shape
from fx2caffe.ir.binary import Binary, BinaryOp
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.index_map import index_map
from fx2caffe.ir.matmul import MatMul
from fx2caffe.ir.permute import Permute
from fx2caffe.ir.reshape import reshaped, reshaped_source, viewed
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.legalize.rule import LayerCall, Tops

PRODUCTS = 1 << 26  # elements that a net may hold at once in order to sum them: 256 MB
FREE = (
    1 << 24
)  # those that it may hold in order to run any batch, where it needs them for nothing else


def second_as_weight(net: Emitter, call: LayerCall[MatMul]) -> Tops:
    """Use a second bottom of two axes as the weight of an InnerProduct, for any batch."""
    layer, bottoms = call.layer, call.bottoms
    first, second = bottoms
    if second.rank != 2:
        raise Refused(f"needs a second bottom of 2 axes, got {second.rank}")
    outputs = second.static_size(0 if layer.transposed else 1)
    product = InnerProduct(
        num_output=outputs,
        bias_term=False,
        axis=1 if first.rank == 2 else -1,
        transpose=not layer.transposed,
    )
    return (net.add(product, first, dynamic=[second]),)


def by_groups(net: Emitter, call: LayerCall[MatMul]) -> Tops:
    """Use the first bottom as weights of a 1x1 convolution with one group per product.

    A layer's weights have one size, so that the batch is fixed if it is among the products. No
    layer but elementwise ones multiplies by other values for each sample: a net for any batch holds
    each product of two elements, which `by_products` emits if they are not too many.
    """
    layer, bottoms = call.layer, call.bottoms
    first, second = bottoms
    if first.shape != first.other_shape:
        terms = layer.accumulation_length([b.shape for b in bottoms])
        held = prod(layer.top_shapes([b.shape for b in bottoms], 1)[0]) * terms
        if held <= FREE:
            raise Refused("needs one size for any batch")
        net.fix_batch(
            f"{net.scope[0]} multiplies matrices of each sample, of which a net for any batch "
            f"holds each of {held} products of two numbers: at most {FREE} are"
        )
    if layer.transposed:
        second = _swapped(net, second, "transposed")
    count, rows = prod(first.shape[:-2]), first.shape[-2]
    weight = _source(net, first, lambda s: (prod(s[:-1]), s[-1], 1, 1), "rows")
    if first.rank == 2:
        image = _source(net, second, lambda s: (prod(s[:-2]), s[-2], 1, s[-1]), "columns")
    else:
        image = _source(net, second, lambda s: (1, prod(s[:-1]), 1, s[-1]), "columns")
    product = Convolution(num_output=count * rows, bias_term=False, kernel_size=(1,), group=count)
    top = net.add(product, image, dynamic=[weight])
    shapes = [bottom.shape for bottom in bottoms], [bottom.other_shape for bottom in bottoms]
    shape, other = (layer.top_shapes(sizes, 1)[0] for sizes in shapes)
    return (reshaped(net, top, shape, other),)


def _source(net: Emitter, symbol: Symbol, view: Callable[[Shape], Shape], suffix: str) -> Symbol:
    return reshaped_source(net, symbol, view(symbol.shape), view(symbol.other_shape), suffix)


def by_products(net: Emitter, call: LayerCall[MatMul]) -> Tops:
    """Multiply all pairs of elements, then sum K channels; no dynamic weights are needed.

    before: MatMul of (1,S,M,K) and (1,S,K,N)
    after:  Binary{MUL} of (1,SK,M,1) and (1,SK,1,N), Convolution of ones with group: S
    """
    layer, bottoms = call.layer, call.bottoms
    first = _swapped(net, bottoms[0], "columns_of_first")
    second = _swapped(net, bottoms[1], "columns_of_second") if layer.transposed else bottoms[1]
    shapes = [bottom.shape for bottom in bottoms], [bottom.other_shape for bottom in bottoms]
    shape, other = (layer.top_shapes(sizes, 1)[0] for sizes in shapes)
    larger = first if first.rank > 2 else second
    batched = int(larger.rank > 2 and larger.carries_batch(0))
    count = prod(larger.static_size(axis) for axis in range(batched, larger.rank - 2))
    if count * first.shape[-2] * prod(shape[-2:]) > PRODUCTS:
        raise Refused(f"needs at most {PRODUCTS} products of two elements")
    rows = _stacked(net, first, count, batched, lambda size: (size, 1))
    columns = _stacked(net, second, count, batched, lambda size: (1, size))
    products = net.add(Binary(op=BinaryOp.MUL), rows, columns, suffix="products")
    ones = torch.ones(count, first.static_size(first.rank - 2), 1, 1)
    sums = Convolution(num_output=count, bias_term=False, kernel_size=(1,), group=count)
    made = net.add(sums, products, blobs=[ones], suffix="sums")
    return (reshaped(net, made, shape, other),)


def _swapped(net: Emitter, symbol: Symbol, suffix: str) -> Symbol:
    """Swap the last two axes."""
    order = (*range(symbol.rank - 2), symbol.rank - 1, symbol.rank - 2)
    return net.add(Permute(order=order), symbol, suffix=suffix)


def _stacked(
    net: Emitter, symbol: Symbol, count: int, batched: int, image: Callable[[int], Shape]
) -> Symbol:
    """Reshape `count` matrices (K, size) to images of K channels each; a single one is repeated."""
    depth, size = symbol.static_size(symbol.rank - 2), symbol.static_size(symbol.rank - 1)
    if symbol.rank == 2 and count > 1:
        symbol = viewed(net, symbol, lambda s: (1, 1, prod(s), 1), suffix="one_sample")
        symbol = index_map(net, symbol, {1: (0,) * count}, suffix="copies")
    kept = batched if symbol.rank > 2 else 0
    return viewed(
        net, symbol, lambda s: (prod(s[:kept]), count * depth, *image(size)), suffix="stacked"
    )
