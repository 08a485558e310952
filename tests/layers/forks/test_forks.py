"""The layers of Caffe's forks: every row of the table, and which fork's meaning a name has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

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
from caffe2fx.layers.forks.shape import Pad, PadND
from caffe2fx.layers.forks.sides import PoolingSides
from caffe2fx.layers.forks.synopsys import (
    BatchNormEps,
    ReLUBounded,
    ReshapeShuffled,
)
from caffe2fx.layers.forks.variants import BatchNormScaleBias, DropoutUnscaled
from caffe2fx.layers.layer import BVLC, Layer
from caffe2fx.layers.registry import records
from caffe2fx.module.builder import graph_module
from caffe2fx.net.net import Net
from caffe2fx.weights import caffemodel
from caffe2fx.weights.caffemodel import LayerWeights
from tests.layers.forks.forks import ROWS
from tests.layers.forks.refusals import REFUSALS
from tests.layers.forks.shape_only import SHAPE_ONLY
from tests.layers.forks.sources import SOURCES
from tests.layers.row import Refusal, Row

ALL = (*ROWS, *SHAPE_ONLY, *SOURCES)
# Some rows are of BVLC's records, as forks spell them.
KINDS = {type(row.layer) for row in ALL if BVLC not in row.layer.dialects}
# Their tops are as long as the boxes that they find.
DYNAMIC = (DetectionOutput, Proposal)

# Their meaning reads values, which tensors without data do not have.
READS_VALUES = (PriorBox, PriorBoxOffsets, PSROIPooling)

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
            name in row.as_text
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
        if not isinstance(row.layer, (*READS_VALUES, Source)):
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


def test_shapes_that_data_layers_state() -> None:
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
def test_layers_on_which_the_fork_aborts_are_refused_with_a_reason(refusal: Refusal) -> None:
    with pytest.raises(CaffeError, match=refusal.reason) as error:
        parse(refusal.text(), source="net.prototxt").shapes()
    assert f"layer 'refused' ({refusal.type})" in str(error.value)
    assert "net.prototxt:" in str(error.value)


@dataclass(frozen=True)
class Choice:
    """Holds a layer as text, and which of the meanings of its type it has."""

    type: str
    kind: type[Layer] | None
    parameters: str = ""
    bottoms: int = 1
    dialect: str | None = None
    blobs: int = 0
    siblings: str = ""

    def read(self) -> Layer:
        """Return the record of the layer, which is called l."""
        inputs = "".join(f'input: "in{i}" input_shape {{ dim: [2, 4, 4, 4] }} ' for i in range(3))
        bottoms = "".join(f' bottom: "in{index}"' for index in range(self.bottoms))
        layer = f'layer {{ name: "l" type: "{self.type}"{bottoms} top: "out" {self.parameters} }}'
        hints = Hints(self.dialect, {"l": self.blobs})
        steps = parse(inputs + layer + self.siblings, hints=hints).steps
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
    Choice("Reorg", Reorg, "reorg_param { stride: 2 }", siblings=YOLO),
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
    Choice("ReLU", ReLUBounded, bottoms=2),
    Choice("ReLU", ReLUBounded, bottoms=2, dialect="synopsys"),
    Choice("ReLU", ReLUBounded, "relu_param { maximum: 3 }", bottoms=2),
    Choice("Convolution", caffe2fx.layers.ConvolutionSides,
           "convolution_param { num_output: 1 kernel_size: 1 pad_type: 1 }"),
    Choice("DetectionOutput", DetectionOutput, "detection_output_param { num_classes: 2 }",
           bottoms=3),
    Choice("Dropout", DropoutUnscaled, "dropout_param { sample_weights_test: false }"),
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
