"""Recognize a product of matrices, which in Caffe is the products of all pairs and their sums."""

from __future__ import annotations

from caffe2fx.layers import Convolution, Scale, Tile
from caffe2fx.layers.layer import axis_of
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step
from caffe2fx.optimize.records import TorchMatmul
from caffe2fx.optimize.rewriting import Match, rewritten
from caffe2fx.optimize.view import View


def recognize_matmul(net: Net) -> Net:
    """Write sums over k of a[k, i] * b[k, j], for each group of channels k, as one product.

    before: Tile of b (N, C, 1, J) along axis 2, Scale by a (N, C, I), Convolution of ones by groups
    after:  matmul of a and b
    """
    return rewritten(net, _match)


def _match(view: View, step: Step) -> Match | None:
    group = _sums(step)
    products = view.step_of(step.bottoms[0], Scale) if group else None
    if group is None or products is None or products.layer != Scale(axis=0):
        return None
    tile = view.step_of(products.bottoms[0], Tile)
    if tile is None or len(products.bottoms) != 2 or not _is_row(view, tile):
        return None
    a, b = products.bottoms[1], tile.bottoms[0]
    if len(view.shape(a)) != 3:
        return None
    return Match((tile, products), TorchMatmul(group=group), (a, b))


def _sums(step: Step) -> int | None:
    """Return the groups of channels that a Convolution adds up, None if it does anything else."""
    layer = step.layer
    if not isinstance(layer, Convolution) or len(step.bottoms) != 1 or len(step.blobs) != 1:
        return None
    plain = Convolution(
        num_output=layer.group, group=layer.group, bias_term=False, kernel_size=(1,)
    )
    same = layer.replace(weight_filler=None, bias_filler=None) == plain
    return layer.group if same and bool((step.blobs[0] == 1).all()) else None


def _is_row(view: View, tile: Step) -> bool:
    """Return whether a Tile repeats the only row of a 4-D blob."""
    shape = view.shape(tile.bottoms[0])
    assert isinstance(tile.layer, Tile)
    return len(shape) == 4 and shape[2] == 1 and axis_of(tile.layer.axis, 4) == 2
