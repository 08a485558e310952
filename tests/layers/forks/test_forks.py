"""The layers of Caffe's forks: every row of the table, and which fork's meaning a name has."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import caffe2fx
from caffe2fx.errors import CaffeError, CaffeFormatError
from caffe2fx.files.dialects import Hints
from caffe2fx.files.prototxt import parse, text_of
from caffe2fx.layers import DetectionOutput, Proposal, PSROIPooling, PythonData, ShapeOnly, Source
from caffe2fx.layers.convolution import Windows
from caffe2fx.layers.detection import PriorBox, PriorBoxOffsets
from caffe2fx.layers.forks.arithmetic import MatMul, MatMulBatched
from caffe2fx.layers.forks.normalization import BN, BNOfBoth, BNScale
from caffe2fx.layers.forks.position import Reorg, ReorgSpace, Upsample, UpsampleMask, UpsampleStride
from caffe2fx.layers.forks.recurrent import Lstm
from caffe2fx.layers.forks.shape import Pad, PadND
from caffe2fx.layers.forks.sides import ConvolutionSides, PoolingSides
from caffe2fx.layers.forks.synopsys import (
    BatchNormEps,
    DetectionOutputHeads,
    ReLUBounded,
    ReshapeShuffled,
)
from caffe2fx.layers.forks.tensorflow import ResizeBilinear, ResizeNearestNeighbor
from caffe2fx.layers.forks.variants import BatchNormScaleBias, DropoutUnscaled
from caffe2fx.layers.layer import BVLC, Layer
from caffe2fx.layers.pooling import LOWEST, Pooling, PoolMethod, RoundMode
from caffe2fx.layers.registry import records
from caffe2fx.module.builder import graph_module
from caffe2fx.net.net import Net
from caffe2fx.weights import caffemodel
from caffe2fx.weights.caffemodel import LayerWeights
from tests.layers.forks.forks import REFUSALS, ROWS, SHAPE_ONLY, SOURCES
from tests.layers.row import Refusal, Row

ALL = (*ROWS, *SHAPE_ONLY, *SOURCES)
# Some rows are of BVLC's records, as forks spell them.
KINDS = {type(row.layer) for row in ALL if BVLC not in row.layer.dialects}
# Their tops are as long as what they find.
DYNAMIC = (DetectionOutput, Proposal)

# Their meaning looks at numbers, which tensors without data do not have.
OF_NUMBERS = (PriorBox, PriorBoxOffsets, PSROIPooling)

every_row = pytest.mark.parametrize("row", ALL, ids=lambda row: row.id.replace(" ", "_"))
computed_rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id.replace(" ", "_"))


def test_every_record_of_a_fork_has_rows() -> None:
    kinds = {kind for kind in records() if BVLC not in kind.dialects}
    assert kinds - {PythonData} == KINDS  # of that one see test_python_layers
    assert len({row.id for row in ALL}) == len(ALL)


def test_every_parameter_is_at_a_value_that_is_not_its_default_in_some_row() -> None:
    shared = {name for kind in records() if BVLC in kind.dialects for name, _ in kind.wires()}
    unused = {
        f"{kind.__name__}.{name}"
        for kind in KINDS
        for name, wire in kind.wires()
        if not wire.hint
        and not any(
            name in row.spelled
            or getattr(row.layer, name, kind) not in (kind, getattr(type(row.layer), name, ()))
            for row in ALL
            if row.layer.message == kind.message
        )
        if name not in shared or not issubclass(kind, (Windows, PoolingSides, ReshapeShuffled))
    }
    assert not unused


@every_row
def test_text_of_the_record_is_read_as_the_record(row: Row) -> None:
    hints = Hints(row.layer.dialects[0])
    for text in (text_of(Net(tuple(row.steps()), ())), row.text()):
        assert parse(text, hints=hints).steps[-1].layer == row.layer


@every_row
def test_shapes_by_formula_are_those_of_the_meaning(row: Row) -> None:
    row.layer.check(row.bottoms, row.tops)
    formula = row.layer.top_shapes(row.bottoms, row.tops)
    if isinstance(row.layer, ShapeOnly):
        with pytest.raises(CaffeError, match="known by its shapes only"):
            row.meaning(row.inputs())
    elif not isinstance(row.layer, DYNAMIC):
        assert formula == tuple(tuple(top.shape) for top in row.meaning(row.inputs()))
        if not isinstance(row.layer, (*OF_NUMBERS, Source)):
            assert formula == Layer.top_shapes(row.layer, row.bottoms, row.tops)


STATED = {
    "boxes": ((2, 3, 5, 5), (1, 1, 1, 8)),
    "boxes in another form": ((2, 3, 5, 5),),
    "lanes": ((2, 3, 5, 5),),
    "frames": ((2, 3, 5, 5), (2,)),
    "pixels": ((2, 3, 5, 5), (2, 1, 5, 5)),
    "images and numbers": ((1, 3, 5, 5), (1,)),
    "images of labels": ((2, 3, 4, 5), (2, 1, 4, 5)),
    "labels in gray": ((1, 1, 5, 5), (1, 1, 5, 5)),
    "pixels in gray": ((1, 1, 5, 5), (1, 1, 5, 5)),
}


def test_what_shapes_data_layers_state() -> None:
    assert {row.id: row.layer.top_shapes((), row.tops) for row in SOURCES} == STATED


@computed_rows
def test_module_computes_the_meaning_and_gives_the_weights_back(row: Row) -> None:
    module = row.layer.module(row.bottoms, row.blobs(), row.tops).eval()
    with torch.no_grad():
        made = module(*row.inputs())
    tops, meant = made if isinstance(made, tuple) else (made,), row.meaning(row.inputs())
    if isinstance(row.layer, DYNAMIC):
        assert all(map(torch.equal, tops, meant))
    else:
        row.agrees(tops, meant)
    back = row.layer.blobs_of(module)
    assert [tuple(blob.shape) for blob in back] == list(row.layer.blob_shapes(row.bottoms))
    assert all(map(torch.equal, back, row.blobs()))


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda row: row.id.replace(" ", "_"))
def test_what_the_fork_aborts_on_is_refused_in_words(refusal: Refusal) -> None:
    with pytest.raises(CaffeError, match=refusal.says) as error:
        parse(refusal.text(), source="net.prototxt").shapes()
    assert f"layer 'refused' ({refusal.type})" in str(error.value)
    assert "net.prototxt:" in str(error.value)


@dataclass(frozen=True)
class Choice:
    """A layer as text, and which of the meanings of its type it has."""

    type: str
    kind: type[Layer] | None
    parameters: str = ""
    bottoms: int = 1
    dialect: str | None = None
    blobs: int = 0
    beside: str = ""

    def read(self) -> Layer:
        """The record of the layer, which is called l."""
        inputs = "".join(f'input: "in{i}" input_shape {{ dim: [2, 4, 4, 4] }} ' for i in range(3))
        bottoms = "".join(f' bottom: "in{index}"' for index in range(self.bottoms))
        layer = f'layer {{ name: "l" type: "{self.type}"{bottoms} top: "out" {self.parameters} }}'
        hints = Hints(self.dialect, {"l": self.blobs})
        steps = parse(inputs + layer + self.beside, hints=hints).steps
        return next(step.layer for step in steps if step.name == "l")


YOLO = (
    'layer { name: "found" type: "YoloDetectionOutput" bottom: "in0" top: "found" '
    "yolo_detection_output_param { num_classes: 1 coords: 2 biases: 1 biases: 1 } }"
)
CHOICES = (
    Choice("Upsample", Upsample, "upsample_param { scale: 2 }"),
    Choice("Upsample", UpsampleMask, "upsample_param { scale: 2 }", bottoms=2),
    Choice("Upsample", UpsampleMask, bottoms=2),
    Choice("Upsample", UpsampleStride, "upsample_param { scale: 1 stride: 2 }"),
    Choice("Upsample", UpsampleStride, "upsample_param { scale: 2 }", dialect="ascend"),
    Choice("Upsample", None),
    Choice("Upsample", Upsample, dialect="yolo"),
    Choice("Upsample", Upsample, "upsample_param { scale: 2 }", dialect="tpu_mlir"),
    Choice("Upsample", UpsampleMask, "upsample_param { scale: 2 }", bottoms=2, dialect="tpu_mlir"),
    Choice("BN", BN, "bn_param { frozen: true }"),
    Choice("BN", BNScale, "bn_param { bn_mode: INFERENCE }"),
    Choice("BN", BN, blobs=4),
    Choice("BN", BNScale, blobs=2),
    Choice("BN", None),
    Choice("BN", BN, dialect="pspnet"),
    Choice("BN", BNScale, dialect="segnet"),
    Choice("BN", BNOfBoth, dialect="tpu_mlir"),
    Choice("BN", BNOfBoth, "bn_param { bn_mode: INFERENCE }", dialect="tpu_mlir"),
    Choice("BN", BNOfBoth, "bn_param { bn_mode: LEARN frozen: true }"),
    Choice("Reorg", None, "reorg_param { stride: 2 }"),
    Choice("Reorg", Reorg, "reorg_param { stride: 2 }", dialect="yolo"),
    Choice("Reorg", Reorg, "reorg_param { stride: 2 }", beside=YOLO),
    Choice("Reorg", ReorgSpace, "reorg_param { stride: 2 }", dialect="tpu_mlir"),
    Choice("Pad", Pad, "pad_param { pad_l: 1 }"),
    Choice("Pad", PadND, "pad_param { paddings: 1 }"),
    Choice("MatMul", MatMul, "matmul_param { dim_1: 1 }", bottoms=2),
    Choice("MatMul", MatMul, "matmul_param { dim_2: 3 }", bottoms=2),
    Choice("MatMul", MatMulBatched, "matmul_param { transpose_a: true }", bottoms=2),
    Choice("PriorBox", PriorBox, "prior_box_param { min_size: 1 }", bottoms=2),
    Choice("PriorBox", PriorBoxOffsets, "prior_box_param { min_size: 1 offset_h: 1 offset_w: 1 }",
           bottoms=2),
    Choice("PriorBox", PriorBoxOffsets, "prior_box_param { min_size: 1 }", bottoms=2,
           dialect="opencv"),
    Choice("Convolution", caffe2fx.layers.ConvolutionSides,
           "convolution_param { num_output: 1 kernel_size: 1 pad_t: 1 }"),
    Choice("Convolution", caffe2fx.layers.Convolution,
           "convolution_param { num_output: 1 kernel_size: 1 }", dialect="synopsys"),
    Choice("Pooling", caffe2fx.layers.PoolingSides, "pooling_param { kernel_size: 2 pad_b: 1 }"),
    Choice("Pooling", caffe2fx.layers.Pooling, "pooling_param { kernel_size: 2 }"),
    Choice("BatchNorm", caffe2fx.layers.BatchNorm),
    Choice("BatchNorm", BatchNormEps, "batch_norm_param { icnet: true }"),
    Choice("BN", BN, "bn_param { icnet: true }"),
    Choice("BN", BNScale, "bn_param { icnet: false }"),
    Choice("ReLU", ReLUBounded, "relu_param { relu6: true }"),
    Choice("ReLU", caffe2fx.layers.ReLU, "relu_param { negative_slope: 1 }"),
    Choice("Pooling", PoolingSides, "pooling_param { kernel_size: 2 pad_type: 1 }"),
    Choice("Pooling", caffe2fx.layers.Pooling, "pooling_param { kernel_size: 2 pool: AVE_TF }"),
    Choice("BatchNorm", BatchNormScaleBias, "batch_norm_param { scale_bias: true }"),
    Choice("Dropout", caffe2fx.layers.Dropout, "dropout_param { dropout_ratio: 0.3 }"),
    Choice("Dropout", DropoutUnscaled, "dropout_param { scale_train: false }"),
    Choice("BatchNorm", caffe2fx.layers.BatchNorm, dialect="opencv"),
    Choice("Dropout", caffe2fx.layers.Dropout, dialect="rcnn"),
    Choice("Permute", caffe2fx.layers.Permute, dialect="yolo"),
    Choice("Permute", caffe2fx.layers.Permute, dialect="segnet"),
)  # fmt: skip


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_which_meaning(choice: Choice) -> None:
    if choice.kind is not None:
        assert type(choice.read()) is choice.kind
        return
    with pytest.raises(CaffeFormatError, match=f"'l': '{choice.type}' needs dialect=.* or dialect"):
        choice.read()


def test_a_dialect_that_the_fields_contradict_is_an_error() -> None:
    with pytest.raises(CaffeFormatError, match=r"'l' \(BN\) as in 'segnet' has no frozen"):
        Choice("BN", None, "bn_param { frozen: true }", dialect="segnet").read()
    with pytest.raises(CaffeFormatError, match=r"as in 'brocolli' has no .*in 'synopsys' has no"):
        Choice("Pad", None, "pad_param { pad_l: 1 paddings: 1 }").read()


def test_an_unknown_dialect_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(CaffeError, match=r"dialect needs to be one of ascend, .*, got 'vendor'"):
        Hints("vendor")


def test_a_loss_divided_by_a_number() -> None:
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


def test_statistics_that_the_forks_read_differently_are_refused() -> None:
    layer = BatchNormScaleBias(scale_bias=True)
    blobs = tuple(torch.full(shape, 3.0) for shape in layer.blob_shapes([(1, 4, 2, 2)]))
    with pytest.raises(CaffeError, match="third blob of 0 or 1, got 3"):
        layer.module([(1, 4, 2, 2)], blobs, 1)


def test_a_shape_only_layer_loads_and_its_bottoms_can_be_had() -> None:
    (row,) = (row for row in SHAPE_ONLY if row.id == "yolo")
    net = graph_module(parse(row.text()))
    with pytest.raises(CaffeError, match="outputs= naming blobs before it"):
        net(*row.inputs())


def test_the_weights_decide_and_so_does_the_argument(tmp_path: Path) -> None:
    text, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    text.write_text(
        'input: "x" input_shape { dim: [1, 2, 3, 3] } '
        'layer { name: "l" type: "BN" bottom: "x" top: "y" }'
    )
    x, one = torch.randn(1, 2, 3, 3), torch.ones(1, 2, 1, 1)
    with pytest.raises(CaffeFormatError, match="needs dialect='pspnet'"):
        caffe2fx.load(text)
    assert caffe2fx.load(text, dialect="segnet").caffe.net.steps[-1].layer == BNScale()
    caffemodel.write(weights, "", [LayerWeights("l", "BN", (one, one * 3, one * 0, one))])
    torch.testing.assert_close(caffe2fx.load(text, weights)(x), x + 3, rtol=0, atol=1e-4)


def pooled(layer: PoolingSides | Pooling, bottom: torch.Tensor) -> list[list[float]]:
    """What the fork's source says, window by window."""
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
