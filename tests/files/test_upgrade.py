"""Nets of 2013 and 2014 against real Caffe's own upgrade of the same text."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import caffe2fx
from caffe2fx.engines.pycaffe import Worker
from caffe2fx.errors import CaffeFormatError, EngineError, UnknownLayerError
from caffe2fx.files import prototxt, upgrade
from caffe2fx.files.prototxt import parse
from caffe2fx.layers import Convolution, Data, Input, Pooling, Split
from caffe2fx.layers.data import TransformationParameter
from caffe2fx.messages.common import DimCheckMode, ParamSpec
from caffe2fx.net.net import Net
from caffe2fx.net.step import Value
from caffe2fx.verdict.reference.calibrate import calibrate
from tests.files import caffes_own

IMAGE = "input_dim: 2 input_dim: 3 input_dim: 12 input_dim: 10\n"

V1 = (
    'name: "v1"\ninput: "data" '
    + IMAGE
    + """
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } }
  blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0 }
layers { name: "relu" type: RELU bottom: "conv" top: "conv" relu_param { negative_slope: 0.1 } }
layers { name: "pool" type: POOLING bottom: "conv" top: "pool"
  pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layers { name: "norm" type: LRN bottom: "pool" top: "norm" lrn_param { local_size: 3 alpha: 0.5 } }
layers { name: "twin a" type: CONVOLUTION bottom: "norm" top: "twin a"
  convolution_param { num_output: 4 kernel_size: 1 } param: "w" param: "b" }
layers { name: "twin b" type: CONVOLUTION bottom: "pool" top: "twin b"
  convolution_param { num_output: 4 kernel_size: 1 }
  param: "w" param: "b" blob_share_mode: PERMISSIVE blobs_lr: 0.5 }
layers { name: "sum" type: ELTWISE bottom: "twin a" bottom: "twin b" top: "sum"
  eltwise_param { operation: SUM coeff: 1 coeff: -1 } }
layers { name: "cat" type: CONCAT bottom: "sum" bottom: "pool" top: "cat"
  concat_param { concat_dim: 1 } }
layers { name: "up" type: DECONVOLUTION bottom: "cat" top: "up"
  convolution_param { num_output: 2 kernel_size: 2 stride: 2 } }
layers { name: "power" type: POWER bottom: "up" top: "power" power_param { power: 2 shift: 0.1 } }
layers { name: "abs" type: ABSVAL bottom: "power" top: "abs" }
layers { name: "exp" type: EXP bottom: "abs" top: "exp" exp_param { scale: -1 } }
layers { name: "tanh" type: TANH bottom: "exp" top: "tanh" }
layers { name: "sigmoid" type: SIGMOID bottom: "tanh" top: "sigmoid" }
layers { name: "bnll" type: BNLL bottom: "sigmoid" top: "bnll" }
layers { name: "mvn" type: MVN bottom: "bnll" top: "mvn" mvn_param { across_channels: true } }
layers { name: "threshold" type: THRESHOLD bottom: "mvn" top: "threshold"
  threshold_param { threshold: 0.2 } }
layers { name: "slice" type: SLICE bottom: "mvn" top: "s0" top: "s1" slice_param { slice_dim: 1 } }
layers { name: "silence" type: SILENCE bottom: "s1" }
layers { name: "flat" type: FLATTEN bottom: "s0" top: "flat" }
layers { name: "drop" type: DROPOUT bottom: "flat" top: "flat"
  dropout_param { dropout_ratio: 0.3 } }
layers { name: "fc" type: INNER_PRODUCT bottom: "flat" top: "fc"
  inner_product_param { num_output: 5 } }
layers { name: "train only" type: RELU bottom: "fc" top: "unseen" include: { phase: TRAIN } }
layers { name: "prob" type: SOFTMAX bottom: "fc" top: "prob" }
layers { name: "best" type: ARGMAX bottom: "prob" top: "best" argmax_param { top_k: 2 }
  exclude: { phase: TRAIN } }
layers { name: "copies" type: SPLIT bottom: "prob" top: "c0" top: "c1" }
layers { name: "dummy" type: DUMMY_DATA top: "dummy"
  dummy_data_param { num: 1 channels: 2 height: 3 width: 4 data_filler { value: 3 } } }
layers { name: "columns" type: IM2COL bottom: "dummy" top: "columns"
  convolution_param { kernel_size: 2 } }
"""
)
V0 = (
    'name: "v0" input: "data" '
    + IMAGE
    + """
layers { layer { name: "pad" type: "padding" pad: 2 } bottom: "data" top: "pad" }
layers { layer { name: "conv" type: "conv" num_output: 6 kernelsize: 5 stride: 2 group: 3
  biasterm: false weight_filler { type: "gaussian" std: 0.1 } bias_filler { value: 1 }
  blobs_lr: 1 weight_decay: 0 } bottom: "pad" top: "conv" }
layers { layer { name: "relu" type: "relu" num_output: 7 } bottom: "conv" top: "conv" }
layers { layer { name: "pad 2" type: "padding" pad: 1 } bottom: "conv" top: "pad 2" }
layers { layer { name: "pool" type: "pool" pool: AVE kernelsize: 3 stride: 2 }
  bottom: "pad 2" top: "pool" }
layers { layer { name: "norm" type: "lrn" local_size: 3 alpha: 0.5 beta: 0.6 k: 2 }
  bottom: "pool" top: "norm" }
layers { layer { name: "cat" type: "concat" concat_dim: 2 } bottom: "norm" bottom: "pool"
  top: "cat" }
layers { layer { name: "tanh" type: "tanh" } bottom: "cat" top: "tanh" }
layers { layer { name: "sigmoid" type: "sigmoid" } bottom: "tanh" top: "sigmoid" }
layers { layer { name: "bnll" type: "bnll" } bottom: "sigmoid" top: "bnll" }
layers { layer { name: "flat" type: "flatten" } bottom: "bnll" top: "flat" }
layers { layer { name: "drop" type: "dropout" dropout_ratio: 0.2 } bottom: "flat" top: "flat" }
layers { layer { name: "fc" type: "innerproduct" num_output: 5 biasterm: true
  weight_filler { type: "xavier" } bias_filler { value: 0.5 } blobs_lr: 1 blobs_lr: 2
  weight_decay: 1 weight_decay: 0 pad: 3 } bottom: "flat" top: "fc" }
layers { layer { name: "copies" type: "split" } bottom: "fc" top: "c0" top: "c1" }
layers { layer { name: "prob" type: "softmax" } bottom: "c0" top: "prob" }
"""
)  # but for im2col: V0 has no field that reaches its kernel
TEXTS = {"V1": V1, "V0": V0}


def without_splits(net: Net) -> Net:
    """Return the net as it was before Caffe gave every reader of a blob a copy of its own."""
    origin: dict[Value, Value] = {}
    steps = []
    for step in net.steps:
        if isinstance(step.layer, Split) and step.name.endswith("_split"):
            origin.update(dict.fromkeys(step.tops, origin.get(step.bottoms[0], step.bottoms[0])))
        else:
            bottoms = tuple(origin.get(value, value) for value in step.bottoms)
            steps.append(replace(step, bottoms=bottoms))
    return Net(tuple(steps), (), net.name)


@pytest.mark.pycaffe
@pytest.mark.parametrize("phase", ["TEST", "TRAIN"])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_real_caffe_upgrades_to_the_same_layers(tmp_path: Path, text: str, phase: str) -> None:
    path, model = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    path.write_text(text)
    stated = caffes_own.saved(path, model, phase=phase)
    ours = prototxt.read(path, phase=phase)
    theirs = without_splits(prototxt.inside(model, phase=phase))
    assert [str(step) for step in ours.steps] == [str(step) for step in theirs.steps]
    assert ours.steps == theirs.steps and ours.name == theirs.name
    shapes = ours.shapes()
    for value, shape in shapes.items():
        if value.blob in stated["blobs"]:
            assert list(shape) == stated["blobs"][value.blob]


@pytest.mark.pycaffe
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_old_nets_give_real_caffes_values(tmp_path: Path, text: str) -> None:
    path, model = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    path.write_text(text)
    loaded = caffe2fx.load(path)
    inputs = [torch.randn(2, 3, 12, 10)]
    calibrate(loaded, inputs)
    caffe2fx.save_weights(loaded, model)
    loaded = caffe2fx.load(path, model)
    report = caffe2fx.compare(loaded, (path, model), inputs[0], engine="pycaffe")
    assert report.ok, str(report)


def test_lines_are_those_of_the_entries_that_stay() -> None:
    net = parse(V0, source="v0.prototxt")
    lines = V0.splitlines()
    assert net.steps[0].layer == Input(shape=((2, 3, 12, 10),)) and net.steps[0].name == "input"
    for step in net.steps[1:]:
        assert f'name: "{step.name}"' in lines[step.origin.line - 1]


def test_padding_goes_into_its_reader() -> None:
    steps = {step.name: step for step in parse(V0).steps}
    assert "pad" not in steps and steps["conv"].bottoms == (Value("data"),)
    assert isinstance(steps["conv"].layer, Convolution) and steps["conv"].layer.pad == (2,)
    assert isinstance(steps["pool"].layer, Pooling) and steps["pool"].layer.pad == 1


def test_four_lists_become_one_spec_a_blob() -> None:
    steps = {step.name: step for step in parse(V1).steps}
    assert steps["conv"].params == (ParamSpec(), ParamSpec(lr_mult=2, decay_mult=0))
    permissive = ParamSpec(name="w", share_mode=DimCheckMode.PERMISSIVE, lr_mult=0.5)
    assert steps["twin b"].params == (permissive, ParamSpec(name="b"))


def upgraded(text: str) -> str:
    """Return the layers of a text in today's form, as text: also of types without a record."""
    proto = prototxt.message_of(text, "net.prototxt")
    upgrade.upgrade(proto, "net.prototxt")
    return str(proto)


DATA = """
layers { name: "d" type: DATA top: "data" top: "label" data_param {
  source: "/db" batch_size: 4 scale: 0.5 mean_file: "mean" crop_size: 227 mirror: true }
  include: { phase: TRAIN } }
layers { name: "i" type: IMAGE_DATA top: "images" image_data_param {
  source: "list" batch_size: 2 crop_size: 7 new_height: 9 } transform_param { scale: 2 } }
layers { name: "w" type: WINDOW_DATA top: "windows" window_data_param {
  source: "list" batch_size: 2 mirror: true fg_threshold: 0.3 } }
"""


def test_data_transformation_moves_to_a_message_of_its_own() -> None:
    text = re.sub(r"\s+", " ", upgraded(DATA))
    assert 'transform_param { scale: 0.5 mirror: true crop_size: 227 mean_file: "mean" }' in text
    # protobuf 4.22 writes the fields of a message in another order
    either = 'source: "/db" batch_size: 4', 'batch_size: 4 source: "/db"'
    assert any(f"data_param {{ {fields} }}" in text for fields in either)
    either = "scale: 2 crop_size: 7", "scale: 2.0 crop_size: 7"  # in pure Python
    assert any(f"transform_param {{ {fields} }}" in text for fields in either)
    assert "transform_param { mirror: true }" in text and "fg_threshold: 0.3" in text


def test_old_data_layers_are_todays() -> None:
    source = parse(DATA, phase="TRAIN").steps[0].layer
    assert source == Data(
        source="/db",
        batch_size=4,
        transform_param=TransformationParameter(
            scale=0.5, mean_file="mean", crop_size=227, mirror=True
        ),
    )


def test_old_fields_win_over_those_of_a_transform_param() -> None:
    """Caffe's upgrade sets them one by one."""
    text = DATA.replace(
        "include: { phase: TRAIN } }",
        'transform_param { mean_file: "other" scale: 2 force_gray: true } }',
    )
    source = parse(text).steps[0].layer
    assert isinstance(source, Data) and source.transform_param == TransformationParameter(
        scale=0.5, mean_file="mean", crop_size=227, mirror=True, force_gray=True
    )


V0_DATA = """
layers { layer { name: "d" type: "data" source: "/db" batchsize: 4 cropsize: 7 scale: 0.5
  meanfile: "mean" mirror: true rand_skip: 3 det_fg_threshold: 0.1 } top: "data" top: "label" }
layers { layer { name: "i" type: "images" source: "list" batchsize: 2 rand_skip: 1
  shuffle_images: true new_height: 9 new_width: 8 } top: "i" top: "j" }
layers { layer { name: "w" type: "window_data" source: "list" batchsize: 2 cropsize: 5
  det_fg_threshold: 0.1 det_bg_threshold: 0.2 det_fg_fraction: 0.3 det_context_pad: 4
  det_crop_mode: "square" } top: "w" top: "v" }
layers { layer { name: "h" type: "hdf5_data" source: "list" batchsize: 2 } top: "h" }
"""
V2_DATA = """
layer { name: "d" type: "Data" data_param { source: "/db" batch_size: 4 rand_skip: 3 }
  transform_param { crop_size: 7 scale: 0.5 mean_file: "mean" mirror: true }
  top: "data" top: "label" }
layer { name: "i" type: "ImageData" image_data_param { source: "list" batch_size: 2 rand_skip: 1
  shuffle: true new_height: 9 new_width: 8 } top: "i" top: "j" }
layer { name: "w" type: "WindowData" window_data_param { source: "list" batch_size: 2
  fg_threshold: 0.1 bg_threshold: 0.2 fg_fraction: 0.3 context_pad: 4 crop_mode: "square" }
  transform_param { crop_size: 5 } top: "w" top: "v" }
layer { name: "h" type: "HDF5Data" hdf5_data_param { source: "list" batch_size: 2 } top: "h" }
"""


def test_data_layers_of_2013_are_todays() -> None:
    assert parse(V0_DATA).steps == parse(V2_DATA).steps


@pytest.mark.corpus
def test_bvlcs_own_pair(corpus: Path) -> None:
    """BVLC's unit tests hold a text with padding layers beside one without."""
    folder = corpus / "nets/BVLC__caffe/src/caffe/test/extracted"
    texts = [folder / f"test_upgrade_proto__{index:03}.prototxt" for index in (0, 1)]
    one, two = (upgraded(path.read_text()) for path in texts)
    assert one == two


TOP = 'input: "x" ' + IMAGE
ERRORS = {
    "layer and layers": (
        TOP + 'layers { name: "a" type: RELU bottom: "x" top: "y" }\n'
        'layer { name: "b" type: "ReLU" bottom: "y" top: "z" }',
        "net.prototxt needs `layer` or `layers` entries, got both",
    ),
    "V0 and V1": (
        TOP + 'layers { name: "a" type: RELU bottom: "x" top: "y" }\n'
        'layers { layer { name: "b" type: "relu" } bottom: "y" top: "z" }',
        "needs a `layer` inside all of its `layers` or inside none, got some",
    ),
    "unknown word": (
        TOP + 'layers { name: "a" type: CONVOLUTOIN bottom: "x" top: "y" foo_param { } }\n'
        'layers { name: "b" type: XYZZY }',
        r"net.prototxt needs layers that have no record:\n"
        r"  'a': 'CONVOLUTOIN' \(did you mean CONVOLUTION\?\)\n  'b': 'XYZZY'",
    ),
    "no type": (TOP + 'layers { name: "a" bottom: "x" top: "y" }', "'a': ''"),
    "unknown word of V0": (
        TOP + 'layers { layer { name: "a" type: "convolution" } bottom: "x" top: "y" }',
        "no record:\n  'a': 'convolution'",
    ),
    "padding before a relu": (
        TOP + 'layers { layer { name: "p" type: "padding" pad: 1 } bottom: "x" top: "p" }\n'
        'layers { layer { name: "r" type: "relu" } bottom: "p" top: "r" }',
        r"layer 'r' \(relu\) needs a bottom that is not padded, got 'p'",
    ),
    "padding of two": (
        TOP + 'layers { layer { name: "p" type: "padding" pad: 1 } bottom: "x" bottom: "x" '
        'top: "p" }\nlayers { layer { name: "c" type: "conv" num_output: 1 kernelsize: 1 } '
        'bottom: "p" top: "c" }',
        r"layer 'c' \(conv\) and its padding 'p' need one bottom and one top each",
    ),
    "bottom of V0 that nobody produces": (
        TOP + 'layers { layer { name: "r" type: "relu" } bottom: "nowhere" top: "r" }',
        "layer 'r' needs bottom 'nowhere' to be produced before it",
    ),
    "unknown field": (
        TOP + 'layers { name: "c" type: CONVOLUTION\n  convolution_param { kernelsize: 3 } }',
        r"net.prototxt:3:23: .* Did you mean 'kernel_size'\?",
    ),
    "today's parameter in V1": (
        TOP + 'layers { name: "c" type: CONVOLUTION param { name: "w" } bottom: "x" top: "y" }',
        "net.prototxt:2:",
    ),
    "bottom of V1 that nobody produces": (
        TOP + '\n\nlayers { name: "a" type: RELU bottom: "nowhere" top: "y" }',
        r"net.prototxt:4: layer 'a' needs bottom 'nowhere'",
    ),
    "a solver": (
        'net: "train_val.prototxt"\nbase_lr: 0.1\n', r"net.prototxt:1:1: .*This is a solver's file"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), ERRORS.values(), ids=ERRORS)
def test_texts_that_are_refused(text: str, reason: str) -> None:
    with pytest.raises((CaffeFormatError, UnknownLayerError), match=reason):
        parse(text, source="net.prototxt")


@pytest.mark.pycaffe
@pytest.mark.parametrize("case", ERRORS)
def test_real_caffe_refuses_the_same(case: str, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(ERRORS[case][0])
    with Worker() as worker, pytest.raises(EngineError):
        worker.ask("load", prototxt=str(path), weights="", phase="TEST")


def test_words_of_forks_name_todays_types() -> None:
    net = parse(TOP + 'layers { name: "p" type: PRELU bottom: "x" top: "y" }')
    assert net.steps[1].layer.type == "PReLU"


BN = """layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "bn" type: "BatchNorm" bottom: "x" top: "y" %s }
"""


@pytest.mark.pycaffe
@pytest.mark.parametrize("count", [0, 3])
def test_three_specs_of_batch_norm_are_not_learned(tmp_path: Path, count: int) -> None:
    path, model = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    specs = ["param { lr_mult: 1 name: 'm' }", "param { }", "param { decay_mult: 3 }"]
    path.write_text(BN % " ".join(specs[:count]))
    caffes_own.saved(path, model)
    ours, theirs = prototxt.read(path).steps[1], prototxt.inside(model).steps[1]
    if count:
        assert [(p.lr_mult, p.decay_mult) for p in ours.params] == [(0, 0)] * 3
        assert ours.params == theirs.params
    else:
        assert ours.params == () and {p.lr_mult for p in theirs.params} == {0}
