"""Records that only forks can read are given to no target except by their own dialect."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import caffe2fx
import fx2caffe
from caffe2fx.engines import Engine
from caffe2fx.layers import DetectionOutput, Proposal, PSROIPooling, ROIAlign, ROIPooling
from caffe2fx.layers.detection import PriorBox, PriorBoxOffsets
from caffe2fx.layers.forks.recurrent import Lstm
from caffe2fx.layers.layer import BVLC
from caffe2fx.module.builder import graph_module
from caffe2fx.net.net import Net
from caffe2fx.verdict.result.report import Status
from fx2caffe.errors import UnsupportedError
from fx2caffe.targets.catalogue import TARGETS
from tests.layers.forks.forks import ROWS
from tests.layers.row import Row

IMAGE = 'input: "x" input_shape { dim: [1, 4, 9, 9] } '
LABELLED = 'input: "x" input_shape { dim: [4, 5] } input: "l" input_shape { dim: 4 } '


def loaded(text: str, folder: Path) -> torch.nn.Module:
    """Return the module of a net."""
    path = folder / "net.prototxt"
    path.write_text(text)
    return caffe2fx.load(path)


def test_hints_for_a_fork_are_not_exported(tmp_path: Path) -> None:
    stated = (
        f'{IMAGE} layer {{ name: "p" type: "Pooling" bottom: "x" top: "p" engine: "MKLDNN" '
        "pooling_param { kernel_size: 1 stride: 3 engine: MKLDNN } } "
        'layer { name: "n" type: "LRN" bottom: "p" top: "n" forward_type: FLOAT16 '
        "lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 engine: MKL2017 } "
        "quantization_param { bw_layer_in: 8 } }"
    )
    made = fx2caffe.export(loaded(stated, tmp_path), torch.randn(1, 4, 9, 9))
    for foreign in ("engine", "forward_type", "quantization_param"):
        assert foreign in stated and foreign not in made.prototxt


@pytest.mark.parametrize("type_", ["SoftmaxWithLoss", "SigmoidCrossEntropyLoss"])
def test_a_member_that_only_forks_have_is_refused(type_: str, tmp_path: Path) -> None:
    many = type_ != "SoftmaxWithLoss"
    labels = LABELLED.replace("dim: 4 }", "dim: [4, 5] }") if many else LABELLED
    stated = (
        f'{labels} layer {{ name: "loss" type: "{type_}" bottom: "x" bottom: "l" top: "loss" '
        "loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 3 } }"
    )
    net = loaded(stated, tmp_path)
    given = torch.randn(4, 5), torch.ones(4, 5) if many else torch.ones(4)
    for target in TARGETS:
        with pytest.raises(UnsupportedError, match=rf"needs .*{type_}.* target '{target}'"):
            fx2caffe.export(net, given, target=target)
    with pytest.raises(UnsupportedError, match="needs normalization: PRE_FIXED of"):
        fx2caffe.export(net, given)


def test_a_forks_field_without_effect_is_not_exported(tmp_path: Path) -> None:
    stated = (
        f'{LABELLED} layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "l" '
        'top: "loss" loss_param { normalization: FULL pre_fixed_normalizer: 3 } }'
    )
    made = fx2caffe.export(loaded(stated, tmp_path), (torch.randn(4, 5), torch.ones(4)))
    assert "FULL" in made.prototxt and "pre_fixed_normalizer" not in made.prototxt


SIDED = {
    "Convolution": "convolution_param { num_output: 3 kernel_size: 3 pad_l: 1 pad_t: 2 "
    'weight_filler { type: "xavier" } }',
    "Pooling": "pooling_param { kernel_size: 3 pad_l: 2 pad_b: 1 }",
}


@pytest.mark.pycaffe
@pytest.mark.parametrize("type_", SIDED)
def test_sides_are_decomposed_into_caffes_own_layers(
    type_: str, tmp_path: Path, caffe: Engine
) -> None:
    stated = f'{IMAGE} layer {{ name: "w" type: "{type_}" bottom: "x" top: "w" {SIDED[type_]} }}'
    made = fx2caffe.export(loaded(stated, tmp_path), torch.randn(1, 4, 9, 9))
    assert "pad_l" not in made.prototxt
    assert made.verify(caffe).ok


# Windows of SegNet's and ENet's encoders on maps of 9x9, and the sizes that their decoders state.
UNPOOLED = {
    "whole": ("kernel_size: 3 stride: 3", "scale: 3"),
    "partial": ("kernel_size: 2 stride: 2", "scale: 2 upsample_h: 9 upsample_w: 9"),
    "padded out": ("kernel_size: 2 stride: 2", "scale: 2 pad_out_h: true pad_out_w: true"),
    "overlapping": ("kernel_size: 3 stride: 2", "upsample_h: 9 upsample_w: 9"),
    "global": ("global_pooling: true", "scale: 9"),
}
UNPOOLING = """layer {{ name: "p" type: "Pooling" bottom: "x" top: "p" top: "m"
  pooling_param {{ {} }} }}
layer {{ name: "c" type: "Convolution" bottom: "p" top: "c"
  convolution_param {{ num_output: 4 kernel_size: 1 weight_filler {{ type: "gaussian" }} }} }}
layer {{ name: "u" type: "Upsample" bottom: "c" bottom: "m" top: "u" upsample_param {{ {} }} }}
"""


@pytest.mark.pycaffe
@pytest.mark.parametrize("name", UNPOOLED, ids=lambda name: name.replace(" ", "_"))
def test_unpooling_by_a_poolings_mask_is_decomposed_into_caffes_own_layers(
    name: str, tmp_path: Path, caffe: Engine
) -> None:
    net = loaded(IMAGE + UNPOOLING.format(*UNPOOLED[name]), tmp_path)
    made = fx2caffe.export(net, torch.randn(1, 4, 9, 9))
    assert all(BVLC in step.layer.dialects for step in made.net) and not made.batch_is_fixed
    report = made.verify(caffe)
    assert report.ok, report.summary()


@pytest.mark.pycaffe
def test_unpooling_by_a_mask_of_larger_maps_writes_at_its_indices(
    tmp_path: Path, caffe: Engine
) -> None:
    """A map of 10x10 holds other positions at the indices of one of 9x9."""
    net = loaded(IMAGE + UNPOOLING.format("kernel_size: 2 stride: 2", "scale: 2"), tmp_path)
    report = fx2caffe.export(net, torch.randn(1, 4, 9, 9)).verify(caffe)
    assert report.ok, report.summary()


def of_forks() -> dict[str, Row]:
    """Return the rows of layers that forks have, and BVLC does not."""
    return {row.id: row for row in ROWS if BVLC not in row.layer.dialects}


# Their values decide the tops' positions or lengths: no layer of Caffe's own does that.
NOT_DECOMPOSED = (ROIPooling, ROIAlign, PSROIPooling, Proposal, DetectionOutput)

# Maps that no input moves: constant boxes, and functions of a state that begins at zero.
STILL = (PriorBox, PriorBoxOffsets, Lstm)


@pytest.mark.pycaffe
@pytest.mark.parametrize("name", of_forks(), ids=lambda name: name.replace(" ", "_"))
def test_a_forks_layer_is_decomposed_into_caffes_own_layers(name: str, caffe: Engine) -> None:
    row = of_forks()[name]
    steps = tuple(row.steps("layer"))
    net = graph_module(Net(steps, steps[-1].tops)).eval()
    if isinstance(row.layer, NOT_DECOMPOSED):
        reason = rf"{row.layer.type}, which target|getitem needs result"
        with pytest.raises(UnsupportedError, match=reason):
            fx2caffe.export(net, tuple(row.inputs()))
        return
    made = fx2caffe.export(net, tuple(row.inputs()))
    assert all(BVLC in step.layer.dialects for step in made.net)
    assert not fx2caffe.check(net, tuple(row.inputs()))
    report = made.verify(caffe, tuple(row.inputs()))
    found = (Status.EQUAL, Status.NOT_PROVEN) if isinstance(row.layer, STILL) else (Status.EQUAL,)
    assert report.status in found, str(report)
