"""Regions of an image at constant boxes, whose sampling by torchvision is known at export."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fx2caffe.ir.axis_matrix import AxisMatrix
from fx2caffe.ir.data_movement import rearrange
from fx2caffe.ir.emitter import Emitter
from fx2caffe.ir.gather import DENSE
from fx2caffe.ir.index_map import index_map
from fx2caffe.ir.reduce import ReduceOp
from fx2caffe.ir.reshape import viewed
from fx2caffe.ir.symbol import Refused, Symbol
from fx2caffe.ops.blocks import times
from fx2caffe.ops.reduction import reduced

Pool = Callable[[Tensor, Tensor], Any]


def fits(input: Symbol, boxes: Tensor, pooled: tuple[int, int]) -> bool:
    """Return whether the matrix from all pixels to all bins has at most DENSE elements."""
    return prod(input.shape) // input.shape[1] * len(boxes) * prod(pooled) <= DENSE


def averaged(
    net: Emitter, input: Symbol, boxes: Tensor, pooled: tuple[int, int], pool: Pool, channels: int
) -> Symbol:
    """Compute each bin as a weighted sum of pixels: (regions, channels, *pooled).

    `pool` is torchvision's own function, called on images of that many channels and on boxes.
    """
    if not fits(input, boxes, pooled):
        raise Refused(f"needs a matrix of at most {DENSE} elements from pixels to bins")
    pixels = _as_pixels(net, input)
    shares = _shares(input, boxes, pool, channels)
    matrix = _of_samples(shares, input, boxes, prod(pooled))
    bins = net.add(AxisMatrix(axis=1, rows=len(matrix)), pixels, blobs=[matrix], suffix="bins")
    return _as_regions(net, bins, pooled)


def largest_in(
    net: Emitter, input: Symbol, boxes: Tensor, pooled: tuple[int, int], pool: Pool
) -> Symbol:
    """Take the maximum of each bin, and 0 in a bin without pixels."""
    pixels = _as_pixels(net, input)
    shares = _shares(input, boxes, pool, 1)
    members = [line.nonzero().flatten().tolist() or [0] for line in shares]
    longest = max(map(len, members))
    each, size = prod(pooled), prod(input.shape[2:])
    starts = [int(index) * size for index in boxes[:, 0]]
    read = [
        starts[row // each] + (found + found[-1:] * longest)[tap]
        for row, found in enumerate(members)
        for tap in range(longest)
    ]
    taken = index_map(net, pixels, {1: read}, suffix="gathered")
    separated = viewed(net, taken, lambda s: (s[0], len(members), longest), suffix="unsqueezed")
    bins = reduced(net, ReduceOp.MAX, separated, 2, suffix="bins")
    filled = shares.any(1).float()
    if not bool(filled.all()):
        bins = times(net, bins, filled, suffix="filled")
    return _as_regions(net, bins, pooled)


def own_channels(net: Emitter, input: Symbol, pooled: tuple[int, int]) -> Symbol:
    """Select for each bin its own channels, from (regions, channels * bins, *pooled)."""
    separated = viewed(
        net, input, lambda s: (s[0], s[1] // prod(pooled), *pooled, *pooled), suffix="own_bins"
    )
    return rearrange(net, separated, lambda x: torch.einsum("rcijij->rcij", x))


def _as_pixels(net: Emitter, input: Symbol) -> Symbol:
    """Reshape the image to (channels, pixels of all samples)."""
    if input.shape != input.other_shape:
        net.fix_batch(f"{net.scope[0]} counts its indices over all samples")
    first = rearrange(net, input, lambda x: x.movedim(1, 0))
    return viewed(net, first, lambda s: (s[0], prod(s[1:])), suffix="indices")


def _as_regions(net: Emitter, bins: Symbol, pooled: tuple[int, int]) -> Symbol:
    separated = viewed(net, bins, lambda s: (s[0], s[1] // prod(pooled), *pooled), suffix="regions")
    return rearrange(net, separated, lambda x: x.movedim(1, 0))


def _shares(input: Symbol, boxes: Tensor, pool: Pool, channels: int) -> Tensor:
    """Return torchvision's weight of each pixel in each bin: (bins of all regions, pixels)."""
    samples = input.shape[0]
    if bool(((boxes[:, 0] < 0) | (boxes[:, 0] >= samples)).any()):
        raise Refused(f"needs boxes of samples 0 to {samples - 1}, got others")
    found = [_of_units(input, boxes.to(dtype), pool, channels) for dtype in _DTYPES]
    if not torch.allclose(found[0].double(), found[1], atol=1e-4):
        raise Refused("needs boxes whose bins are exact in float32, got some on an edge")
    return found[1]


_DTYPES = (torch.float32, torch.float64)


def _of_units(input: Symbol, boxes: Tensor, pool: Pool, channels: int) -> Tensor:
    """Run `pool` on unit images, one for each pixel, a few at a time."""
    count = prod(input.shape[2:])
    at_once = max(1, DENSE // (channels * count))
    found = [
        _of_pixels(input, boxes, pool, channels, pixels)
        for pixels in torch.split(torch.arange(count), at_once)
    ]
    return torch.cat(found, 1)


def _of_pixels(input: Symbol, boxes: Tensor, pool: Pool, channels: int, pixels: Tensor) -> Tensor:
    units = F.one_hot(pixels, prod(input.shape[2:])).to(boxes.dtype)
    images = units.reshape(len(pixels), 1, *input.shape[2:]).expand(-1, channels, -1, -1)
    samples = torch.arange(len(pixels)).repeat_interleave(len(boxes))[:, None]
    rois = torch.cat([samples.to(boxes.dtype), boxes[:, 1:].repeat(len(pixels), 1)], 1)
    result = pool(images.contiguous(), rois)
    tensor: Tensor = result[0] if isinstance(result, tuple) else result
    return tensor.reshape(len(pixels), -1).t()


def _of_samples(shares: Tensor, input: Symbol, boxes: Tensor, each: int) -> Tensor:
    """Move the columns of one sample to those of the sample that each region is taken from."""
    rows, pixels = shares.shape
    whole = torch.zeros(rows, input.shape[0], pixels, dtype=shares.dtype)
    whole[torch.arange(rows), boxes[:, 0].long().repeat_interleave(each)] = shares
    return whole.reshape(rows, -1)
