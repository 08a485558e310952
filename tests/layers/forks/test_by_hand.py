"""Layers of Caffe's forks against values by hand, loops over windows, and torch."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from caffe2fx.layers import DetectionOutput
from caffe2fx.layers.forks.activation import ReLU6
from caffe2fx.layers.forks.recurrent import Lstm
from caffe2fx.layers.forks.resize import Interp
from caffe2fx.layers.forks.sides import ConvolutionSides, PoolingSides
from caffe2fx.layers.forks.synopsys import DetectionOutputHeads, ReLUBounded
from caffe2fx.layers.forks.tensorflow import ResizeBilinear, ResizeNearestNeighbor
from caffe2fx.layers.forks.variants import DropoutUnscaled
from caffe2fx.layers.pooling import LOWEST, Pooling, PoolMethod, RoundMode
from tests.layers.forks.forks import ROWS


def test_a_loss_divided_by_a_constant() -> None:
    by = {row.id: row for row in ROWS}
    whole, small = by["softmax loss by 2.5"], by["softmax loss by 0.5"]  # less than 1 counts as 1
    for row, number in ((whole, 2.5), (small, 1.0)):
        scores, labels = row.inputs()
        entropy = F.cross_entropy(scores, labels.long(), reduction="sum")
        torch.testing.assert_close(row.meaning(row.inputs())[0], entropy / number)


def test_dropout_without_scaling_in_training() -> None:
    layer = DropoutUnscaled(scale_train=False, dropout_ratio=0.25)
    module = layer.module([(1000,)], (), 1).train()
    top = module(torch.ones(1000))
    assert set(top.tolist()) == {0.0, 1.0} and 200 < int((top == 0).sum()) < 300


def test_which_side_is_which() -> None:
    layer = ConvolutionSides(
        num_output=1, kernel_size=(1,), bias_term=False, pad_l=1, pad_r=3, pad_t=2, pad_b=4
    )
    (top,) = layer.compute((torch.full((1, 1, 1, 1), 5.0),), (torch.ones(1, 1, 1, 1),), 1)
    assert top.shape == (1, 1, 7, 5) and top.nonzero().tolist() == [[0, 0, 2, 1]]
    bottom = -torch.arange(1.0, 5).reshape(1, 1, 2, 2)
    for side, wanted in {"pad_l": [-1, -1], "pad_r": [-1, -2], "pad_t": [-1, -1],
                         "pad_b": [-1, -3]}.items():  # fmt: skip
        (top,) = PoolingSides(kernel_size=2, **{side: 1}).compute((bottom,), (), 1)
        assert top.flatten().tolist() == wanted


def pooled(layer: PoolingSides | Pooling, bottom: torch.Tensor) -> list[list[float]]:
    """Compute the fork's pooling as its source does, window by window."""
    height, width = bottom.shape
    kernel, stride, (tall, broad) = layer.geometry((1, 1, height, width))
    pads = [(tall, tall), (broad, broad)]
    if isinstance(layer, PoolingSides):
        pads = [(layer.pad_t, layer.pad_b), (layer.pad_l, layer.pad_r)]
        if layer.pad_type:
            along = [max(k - (size % s or s), 0)
                     for size, k, s in zip(bottom.shape, kernel, stride, strict=True)]  # fmt: skip
            pads = [(all_ // 2, all_ - all_ // 2) for all_ in along]
    rows, columns = layer.top_shapes([(1, 1, height, width)], 1)[0][2:]
    top = [[0.0] * columns for _ in range(rows)]
    for row, column in itertools.product(range(rows), range(columns)):
        spans, whole, seen = [], 1, 1
        for at, side in enumerate((row, column)):
            begin = side * stride[at] - pads[at][0]
            end = min(begin + kernel[at], bottom.shape[at] + pads[at][1])
            whole *= end - begin
            span = range(max(begin, 0), min(end, bottom.shape[at]))
            seen *= len(span)
            spans.append(span)
        values = [float(bottom[y, x]) for y in spans[0] for x in spans[1]]
        if layer.pool is PoolMethod.MAX:
            top[row][column] = max(values, default=LOWEST)
        else:
            by = whole if layer.pool is PoolMethod.AVE else seen
            top[row][column] = sum(values) / by if by else torch.nan
    return top


SIDED = ({}, {"pad_l": 1}, {"pad_t": 2, "pad_r": 1}, {"pad_b": 2, "pad_l": 1}, {"pad_type": 1})


@pytest.mark.parametrize("method", [PoolMethod.MAX, PoolMethod.AVE, PoolMethod.AVE_EXC_PAD])
@pytest.mark.parametrize("pads", SIDED, ids=str)
@pytest.mark.parametrize("mode", RoundMode)
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (2, 2), (3, 1), (4, 3)])
def test_windows_of_sides(
    method: PoolMethod, pads: dict[str, int], mode: RoundMode, kernel: int, stride: int
) -> None:
    layer = PoolingSides(
        kernel_size=kernel,
        stride=stride,
        pool=method,
        round_mode=mode,
        **pads,  # type: ignore[arg-type]
    )
    bottom = torch.arange(1.0, 57).reshape(1, 1, 7, 8).sin()
    layer.check([(1, 1, 7, 8)], 1)
    (top,) = layer.compute([bottom], (), 1)
    torch.testing.assert_close(top[0, 0], torch.tensor(pooled(layer, bottom[0, 0])), equal_nan=True)
    torch.testing.assert_close(layer.module([(1, 1, 7, 8)], (), 1)(bottom), top, equal_nan=True)


@pytest.mark.parametrize("pad", [0, 1])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_averages_that_count_no_padding(pad: int, stride: int) -> None:
    layer = Pooling(kernel_size=3, stride=stride, pad=pad, pool=PoolMethod.AVE_EXC_PAD)
    bottom = torch.arange(1.0, 57).reshape(1, 1, 7, 8).sin()
    (top,) = layer.compute([bottom], (), 1)
    torch.testing.assert_close(top[0, 0], torch.tensor(pooled(layer, bottom[0, 0])), equal_nan=True)
    torch.testing.assert_close(layer.module([(1, 1, 7, 8)], (), 1)(bottom), top, equal_nan=True)


LINE = torch.tensor([0.0, 10, 20, 30]).reshape(1, 1, 4, 1)
RESIZED = {
    "nearest": (ResizeNearestNeighbor(output_height=6), [0, 0, 10, 20, 20, 30]),
    "nearest, corners": (
        ResizeNearestNeighbor(output_height=7, align_corners=True),
        [0, 10, 10, 20, 20, 30, 30],
    ),
    "nearest, middles": (
        ResizeNearestNeighbor(output_height=3, half_pixel_centers=True),
        [0, 20, 30],
    ),
    "nearest, ONNX": (ResizeNearestNeighbor(output_height=3, half_pixel_onnx=True), [0, 10, 20]),
    "bilinear": (ResizeBilinear(output_height=6), [0, 20 / 3, 40 / 3, 20, 80 / 3, 30]),
    "bilinear, corners": (ResizeBilinear(output_height=3, align_corners=True), [0, 15, 30]),
    "bilinear, middles": (ResizeBilinear(scale_height=0.5, half_pixel_centers=True), [5, 25]),
    "bilinear, torch": (ResizeBilinear(output_height=1, pytorch_half_pixel=True), [0]),
}


@pytest.mark.parametrize(("layer", "wanted"), RESIZED.values(), ids=RESIZED)
def test_resizing_by_hand(
    layer: ResizeNearestNeighbor | ResizeBilinear, wanted: list[float]
) -> None:
    (top,) = layer.replace(data_format="NCHW").compute([LINE], (), 1)
    torch.testing.assert_close(top.flatten(), torch.tensor(wanted, dtype=torch.float32))
    (top,) = layer.compute([LINE.permute(0, 2, 3, 1)], (), 1)
    torch.testing.assert_close(top.flatten(), torch.tensor(wanted, dtype=torch.float32))


def test_bounds_of_a_relu() -> None:
    bottom = torch.tensor([0.0, -4.0, -1.0, 3.0, 9.0, torch.inf])
    for layer, wanted in (
        (ReLUBounded(relu6=True), [0, 0, 0, 3, 6, 6]),
        (ReLUBounded(minimum=-2, maximum=4, negative_slope=0.5), [0, -2, -0.5, 3, 4, 4]),
    ):
        assert layer.compute([bottom], (), 1)[0].tolist() == wanted


def test_the_bound_of_a_relu6() -> None:
    bottom = torch.tensor([-4.0, 0.0, 1.0, 2.5, 7.0])
    (top,) = ReLU6(threshold=2.5, negative_slope=0.25).compute([bottom], (), 1)
    assert top.tolist() == [-1, 0, 1, 2.5, 2.5]


def test_interp_takes_the_size_of_a_second_bottom() -> None:
    bottom, like = torch.arange(1.0, 13).reshape(1, 1, 3, 4).cos(), torch.zeros(1, 7, 5, 9)
    (top,) = Interp(use_blob_size=True).compute([bottom, like], (), 1)
    (wanted,) = Interp(height=5, width=9).compute([bottom], (), 1)
    assert top.shape == (1, 1, 5, 9) and top.equal(wanted)


def test_heads_that_nothing_has_gone_over_are_those_that_a_net_would_permute() -> None:
    torch.manual_seed(0)
    heads = DetectionOutputHeads(num_classes=3, nbottom=2, no_permute=True, keep_top_k=20)
    plain = DetectionOutput(num_classes=3, keep_top_k=20)
    maps = [(2, 2, 3), (1, 2, 2)]  # shapes, height, width
    places = [torch.randn(1, shapes * 4, *size) / 9 for shapes, *size in maps]
    scores = [torch.rand(1, shapes * 3, *size) for shapes, *size in maps]
    corners = torch.rand(16, 2) / 2
    priors = torch.cat([corners, corners + 0.4], 1).reshape(1, 1, -1)
    priors = torch.cat([priors, torch.full_like(priors, 0.1)], 1)
    by_place = [torch.cat([head.permute(0, 2, 3, 1).flatten(1) for head in heads], 1)
                for heads in (places, scores)]  # fmt: skip
    (wanted,) = plain.compute([*by_place, priors], (), 1)
    raw = [head.reshape(1, shapes, 3, -1).transpose(1, 2)
           for head, (shapes, *_) in zip(scores, maps, strict=True)]  # fmt: skip
    given = [*raw, *places, priors]
    heads.check([tuple(bottom.shape) for bottom in given], 1)
    torch.testing.assert_close(heads.compute(given, (), 1)[0], wanted)


def test_an_lstm_of_ctpn_is_torchs() -> None:
    torch.manual_seed(0)
    x, twin = torch.randn(5, 2, 3), torch.nn.LSTM(3, 4)
    order = [0, 1, 3, 2]  # torch has i, f, g and o
    weights = [
        torch.cat([value.detach().chunk(4)[gate] for gate in order])
        for value in (twin.weight_ih_l0, twin.weight_hh_l0, twin.bias_ih_l0 + twin.bias_hh_l0)
    ]
    layer = Lstm(num_output=4)
    (top,) = layer.compute([x], weights, 1)
    torch.testing.assert_close(top, twin(x)[0])
    cont = torch.ones(5, 2)
    cont[0], cont[2, 1] = 0, 0
    (parted,) = layer.compute([x, cont], weights, 1)
    torch.testing.assert_close(parted[:, 0], top[:, 0])
    torch.testing.assert_close(parted[2:, 1:], twin(x[2:, 1:])[0])
