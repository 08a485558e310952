"""Fields of Synopsys' fork against loops that follow its source."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import ceil

import numpy as np
import pytest
import torch
from torch import Tensor

from caffe2fx.layers import DetectionOutput
from caffe2fx.layers.forks.sides import ConvolutionSides, PoolingSides
from caffe2fx.layers.forks.synopsys import DetectionOutputHeads, ReLUBounded
from caffe2fx.layers.pooling import PoolMethod
from tests.layers.forks.twin import Array

SIZES = ((7, 9), (8, 6), (5, 4))
WINDOWS = [{"kernel_size": (3,), "stride": (2,)}, {"kernel_size": (2,), "stride": (3,)},
           {"kernel_h": 4, "kernel_w": 1}, {"kernel_size": (3,), "dilation": (2,)}]  # fmt: skip


def convolved(layer: ConvolutionSides, bottom: Tensor, weight: Tensor) -> Array:
    """Compute one channel of SAME padding as the fork does, window by window."""
    kernel, stride, _, dilation = layer.geometry(2)
    sizes = bottom.shape
    counts = [ceil(size / s) for size, s in zip(sizes, stride, strict=True)]
    first = [
        max(k - s if size % s == 0 else k - size % s, 0) // 2
        for size, k, s in zip(sizes, kernel, stride, strict=True)
    ]
    top = np.zeros(counts)
    for row, column in itertools.product(*map(range, counts)):
        for i, j in itertools.product(*map(range, kernel)):
            y = row * stride[0] - first[0] + i * dilation[0]
            x = column * stride[1] - first[1] + j * dilation[1]
            if 0 <= y < sizes[0] and 0 <= x < sizes[1]:
                top[row, column] += float(bottom[y, x]) * float(weight[i, j])
    return top


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_same_padding(size: tuple[int, int], window: dict[str, object]) -> None:
    layer = ConvolutionSides(num_output=1, bias_term=False, pad_type=1, **window)
    bottom = torch.randn(1, 1, *size, dtype=torch.float64)
    weight = torch.randn(layer.blob_shapes([(1, 1, *size)])[0], dtype=torch.float64)
    (top,) = layer.compute((bottom,), (weight,), 1)
    assert tuple(top.shape) == layer.top_shapes([(1, 1, *size)], 1)[0]
    np.testing.assert_allclose(top[0, 0], convolved(layer, bottom[0, 0], weight[0, 0]))


@pytest.mark.parametrize(
    "layer",
    [
        ConvolutionSides(num_output=2, kernel_size=(3,), stride=(2,), pad_type=1),
        PoolingSides(kernel_size=3, stride=2, pad_type=1),
        PoolingSides(kernel_size=3, stride=2, pad_l=1),
        PoolingSides(kernel_size=3, stride=2, pad_b=1, pool=PoolMethod.AVE),
    ],
    ids=str,
)
def test_a_module_takes_other_sizes(layer: ConvolutionSides | PoolingSides) -> None:
    blobs = [torch.randn(shape) for shape in layer.blob_shapes([(1, 3, 7, 9)])]
    made = layer.module([(1, 3, 7, 9)], blobs, 1)
    for size in SIZES:
        x = torch.randn(1, 3, *size)
        torch.testing.assert_close(made(x), layer.compute((x,), blobs, 1)[0])


def test_the_second_bottom_of_a_relu() -> None:
    layer, bottom = ReLUBounded(negative_slope=0.5, maximum=9), torch.tensor([-4.0, 3, 8])
    for limit, wanted in ((4.0, [-2, 3, 4]), (0.0, [-2, 3, 8]), (-1.0, [-2, 3, 8])):
        given = torch.tensor([[limit, 1.0]])
        assert layer.compute([bottom, given], (), 1)[0].tolist() == wanted


def _by_ratio(heads: Sequence[Tensor], numbers: int) -> Tensor:
    """Return each box's numbers, from heads that list one number of all boxes after another."""
    rows = []
    for head in heads:
        flat, count = head.flatten().tolist(), head.numel() // numbers
        rows += [flat[p + k * count] for p in range(count) for k in range(numbers)]
    return torch.tensor([rows])


@pytest.mark.parametrize("own", [False, True])
def test_heads_ordered_by_ratio(own: bool) -> None:
    torch.manual_seed(0)
    ratios, counts, classes = (2, 3), (6, 3), 3
    layer = DetectionOutputHeads(
        num_classes=classes, nbottom=2, ratio_permute=True, ratio0=2, ratio1=3, keep_top_k=20
    )
    scores = [torch.rand(1, classes * count) for count in counts]
    places = [torch.randn(1, 4 * count) / 9 for count in counts]
    corners = torch.rand(sum(counts), 2) / 2
    boxes = torch.cat([corners, corners + 0.4], 1)
    variances = torch.rand(sum(counts), 4) / 5 + 0.1
    if own:
        given = [torch.stack([part[at:end].T.flatten() for part in (boxes, variances)])[None]
                 for at, end in ((0, 6), (6, 9))]  # fmt: skip
        order = list(range(sum(counts)))
    else:
        given = [torch.stack([boxes.flatten(), variances.flatten()])[None]]
        order, start = [], 0
        for ratio, count in zip(ratios, counts, strict=True):
            each = count // ratio
            order += [start + i % each * ratio + i // each for i in range(count)]
            start += count
    priors = torch.stack([boxes[order].flatten(), variances.flatten()])[None]
    plain = DetectionOutput(num_classes=classes, keep_top_k=20)
    (wanted,) = plain.compute([_by_ratio(places, 4), _by_ratio(scores, classes), priors], (), 1)
    bottoms = [*scores, *places, *given]
    layer.check([tuple(bottom.shape) for bottom in bottoms], 1)
    (top,) = layer.compute(bottoms, (), 1)
    assert top.shape[2] > 3
    torch.testing.assert_close(top, wanted)
