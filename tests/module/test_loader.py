"""Weights get into their layers, and load obeys its arguments: against real Caffe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import caffe2fx
from caffe2fx.engines.pycaffe import PycaffeEngine
from caffe2fx.errors import (
    CaffeError,
    CaffeFormatError,
    ShapeMismatchError,
)
from caffe2fx.files import prototxt
from caffe2fx.net.match_weights import Misfit, Unmatched
from caffe2fx.weights import caffemodel
from caffe2fx.weights.caffemodel import LayerWeights
from tests.files import caffes_own
from tests.net.nets import TEXT, files, images, weights

# Weights by name


def test_weights_that_fit_are_loaded_and_the_others_listed(tmp_path: Path) -> None:
    text, model = files(tmp_path)
    conv, _, fc = weights()
    other = LayerWeights("other", "InnerProduct", (torch.zeros(3),))
    narrow = LayerWeights("fc", fc.type, (torch.zeros(5, 24), torch.zeros(5)))
    silent = LayerWeights("relu", "ReLU", ())
    caffemodel.write(model, "", [other, conv, narrow, silent])
    module = caffe2fx.load(text, model, strict=False)
    assert module.caffe.unmatched == Unmatched(
        file=("other",),
        net=("bn",),
        shapes=(Misfit("fc", ((2, 24), (2,)), ((5, 24), (5,))),),
    )
    assert torch.equal(module.conv.weight, conv.blobs[0])
    fresh = caffe2fx.load(text)
    assert torch.equal(module.fc.weight, fresh.fc.weight)
    assert module(images())[0].shape == (2, 2)
    with pytest.raises(ShapeMismatchError, match=r"layer 'bn' .* got none"):
        caffe2fx.load(text, model)


def test_unknown_layers_are_listed_also_when_all_else_fits(tmp_path: Path) -> None:
    text, model = files(tmp_path)
    assert not caffe2fx.load(text, model).caffe.unmatched
    extra = LayerWeights("extra", "ReLU", (torch.zeros(1),))
    caffemodel.write(model, "", [*weights(), extra])
    assert caffe2fx.load(text, model).caffe.unmatched == Unmatched(file=("extra",))
    assert not caffe2fx.load(text).caffe.unmatched


TWICE = """layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 3 } }
layer { name: "fc" type: "InnerProduct" bottom: "y" top: "z"
  inner_product_param { num_output: 3 bias_filler { value: 2 } } }
layer { name: "" type: "Power" bottom: "z" top: "w" power_param { shift: 1 } }
layer { name: "" type: "ReLU" bottom: "w" top: "w" }
"""


@pytest.mark.pycaffe
def test_the_first_of_two_layers_of_one_name_gets_the_weights(tmp_path: Path) -> None:
    text, model = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    text.write_text(TWICE)
    torch.manual_seed(0)
    entries = [
        LayerWeights("fc", "InnerProduct", (torch.randn(3, 3), torch.randn(3))) for _ in range(2)
    ]
    caffemodel.write(model, "", entries)
    with pytest.raises(CaffeFormatError, match="needs a name of its own"):
        caffe2fx.load(text, model)
    module = caffe2fx.load(text, model, strict=False)
    assert module.caffe.unmatched == Unmatched(net=("fc",))
    x = torch.randn(2, 3)
    theirs = caffes_own.real_blobs(text, model, x)
    ours = module.caffe.blobs(x)
    for name in ("y", "z", "w"):
        torch.testing.assert_close(ours[name].detach(), theirs[name])


IN_TEXT = """layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 2 bias_term: false }
  blobs { shape { dim: 2 dim: 3 } data: 1 data: 2 data: 3 data: 4 data: 5 data: 6 } }
"""


@pytest.mark.pycaffe
def test_weights_in_the_text_itself(tmp_path: Path) -> None:
    text, model = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    text.write_text(IN_TEXT)
    caffemodel.write(model, "n", [])
    x = torch.randn(2, 3)
    theirs = caffes_own.real_blobs(text, model, x)["y"]
    for module in (caffe2fx.load(text), caffe2fx.load(text, model)):
        torch.testing.assert_close(module(x).detach(), theirs)
    caffemodel.write(model, "n", [LayerWeights("fc", "InnerProduct", (torch.ones(2, 3),))])
    assert torch.equal(caffe2fx.load(text, model).fc.weight.detach(), torch.ones(2, 3))
    text.write_text(IN_TEXT.replace("data: 6", ""))
    with pytest.raises(CaffeFormatError, match=r"layer 'fc' needs blobs .*, got 5 for \(2, 3\)"):
        caffe2fx.load(text)


MANY = """layer { name: "in" type: "Input" top: "a" top: "b"
  input_param { shape { dim: 2 dim: 3 dim: 5 dim: 5 } } }
layer { name: "日本 \\"x\\"/{}#" type: "Convolution" bottom: "a" bottom: "b" top: "é" top: "y/z@q"
  convolution_param { num_output: 4 kernel_size: 3 group: 1 } propagate_down: 1
  propagate_down: 0 }
layer { name: "mix" type: "Eltwise" bottom: "é" bottom: "y/z@q" top: "é+y" }
"""


@pytest.mark.pycaffe
def test_many_bottoms_and_names_of_any_kind(tmp_path: Path) -> None:
    text, model = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    text.write_text(MANY)
    name = prototxt.parse(MANY).steps[1].name
    blobs = (torch.randn(4, 3, 3, 3), torch.randn(4))
    caffemodel.write(model, "", [LayerWeights(name, "Convolution", blobs)])
    inputs = [torch.randn(2, 3, 5, 5) for _ in range(2)]
    with PycaffeEngine().open(text, model) as session:
        results = list(session.run(inputs))
    ours = caffe2fx.load(text, model).caffe.blobs(*inputs)
    for step, tops in results:
        for top, value in zip(step.tops, tops, strict=True):
            torch.testing.assert_close(ours[top.blob].detach(), value, rtol=1e-4, atol=1e-5)
    module = caffe2fx.load(text, model, outputs=["y/z@q"])
    assert module.caffe.outputs == ("y/z@q",)


# Arguments of load


def test_outputs_name_the_result_of_each_in_place_layer(tmp_path: Path) -> None:
    paths = files(tmp_path)
    blobs = caffe2fx.load(*paths).caffe.blobs(images())
    names = ["conv@bn", "conv", "conv@conv", "fc@fc"]
    module = caffe2fx.load(*paths, outputs=names)
    for name, got in zip(names, module(images()), strict=True):
        assert torch.equal(got, blobs[name.removesuffix("@fc")])
    assert module.caffe.outputs == ("conv@bn", "conv", "conv@conv", "fc")
    inner = caffe2fx.load(*paths, outputs=["conv@conv"])
    assert torch.equal(inner(images()), blobs["conv@conv"])
    assert inner.caffe.outputs == ("conv@conv",) == tuple(inner.caffe.blobs(images()))[1:]
    with pytest.raises(CaffeFormatError, match=r"got \['conv@fc'\]"):
        caffe2fx.load(*paths, outputs=["conv@fc"])


@pytest.mark.pycaffe
@pytest.mark.parametrize("names", [["conv@conv"], ["conv@bn", "left"], ["conv"]])
def test_a_part_of_a_net_is_compared_with_the_whole(tmp_path: Path, names: list[str]) -> None:
    paths = files(tmp_path)
    part = caffe2fx.load(*paths, outputs=names)
    report = caffe2fx.compare(part, paths, images(), engine="pycaffe")
    assert report.ok, str(report)


def test_other_batches_and_sizes(tmp_path: Path) -> None:
    text, model = files(tmp_path)
    assert caffe2fx.load(text, model, batch=7).caffe.net.shapes()[
        caffe2fx.load(text, model).caffe.net.outputs[0]
    ] == (7, 2)
    wide = caffe2fx.load(text, model, shapes={"data": (1, 3, 8, 4)})
    assert wide(torch.randn(1, 3, 8, 4))[0].shape == (1, 2)
    with pytest.raises(ShapeMismatchError, match=r"layer 'fc' .* 2x84, 2, got 2x24, 2 "):
        caffe2fx.load(text, model, shapes={"data": (1, 3, 9, 8)})
    with pytest.raises(ShapeMismatchError, match=r"layer 'conv' .* needs an input of at least"):
        caffe2fx.load(text, model, shapes={"data": (1, 3, 2, 8)})
    with pytest.raises(ShapeMismatchError, match=r"shapes needs inputs .*\['data'\], got \['x'\]"):
        caffe2fx.load(text, model, shapes={"x": (1, 3, 2, 8)})
    both = caffe2fx.load(text, model, batch=3, shapes={"data": (1, 3, 8, 4)})
    assert [tuple(s) for s in both.caffe.net.steps[0].layer.shape] == [(3, 3, 8, 4)]


STAGED = """state { stage: "file" }
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 } } }
""" + "".join(
    f'layer {{ name: "{name}" type: "ReLU" bottom: "x" top: "{name}" {rule} }}\n'
    for name, rule in {
        "always": "",
        "low": "include { max_level: 1 }",
        "high": "include { min_level: 2 }",
        "exactly": "include { min_level: 1 max_level: 1 }",
        "a": 'include { stage: "a" }',
        "a b": 'include { stage: "a" stage: "b" }',
        "not a": 'exclude { stage: "a" }',
        "file": 'include { stage: "file" not_stage: "b" }',
    }.items()
)


@pytest.mark.pycaffe
@pytest.mark.parametrize("level", [-1, 0, 1, 2])
@pytest.mark.parametrize("stages", [(), ("a",), ("b", "a")], ids=str)
def test_levels_and_stages(tmp_path: Path, level: int, stages: tuple[str, ...]) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(STAGED)
    stated = caffes_own.saved(path, tmp_path / "n.caffemodel", level=level, stages=stages)
    kept = [name for name in stated["layers"] if not name.endswith("_split_0")]
    module = caffe2fx.load(path, level=level, stages=stages)
    ours = [step.name for step in module.caffe.net.steps]
    assert ours == [name for name in kept if "_split" not in name]


PHASES = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: [4, 3] } } include { phase: TRAIN } }
layer { name: "label" type: "Input" top: "label"
  input_param { shape { dim: 4 } } include { phase: TRAIN } }
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: [1, 3] } } include { phase: TEST } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss"
  include { phase: TRAIN } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" include { phase: TEST } }
"""


@pytest.mark.pycaffe
@pytest.mark.parametrize(("phase", "outputs"), [("TRAIN", ("loss",)), ("TEST", ("prob",))])
def test_a_net_saved_by_caffe_is_loaded_in_its_phase(
    tmp_path: Path, phase: str, outputs: tuple[str, ...]
) -> None:
    text, model = tmp_path / "net.prototxt", tmp_path / "snapshot.caffemodel"
    text.write_text(PHASES)
    caffes_own.saved(text, model, phase=phase)
    module, named = caffe2fx.load(model), caffe2fx.load(model, phase=phase)
    beside = caffe2fx.load(text, model, phase=phase)
    for one in (module, named, beside):
        assert one.caffe.outputs == outputs and one.training is (phase == "TRAIN")
        torch.testing.assert_close(one.ip.weight, beside.ip.weight, rtol=0, atol=0)
    other = "TEST" if phase == "TRAIN" else "TRAIN"
    with pytest.raises(CaffeError, match=f"only the layers of phase {phase} are in the file"):
        caffe2fx.load(model, phase=other)


def test_a_phase_is_one_of_two(tmp_path: Path) -> None:
    text, model = files(tmp_path)
    with pytest.raises(CaffeError, match="phase needs to be TRAIN or TEST, got 'test'"):
        caffe2fx.load(text, model, phase="test")


def test_parameters_that_a_solver_would_not_change_are_frozen(tmp_path: Path) -> None:
    text, model = files(tmp_path)
    changed = TEXT.replace(
        'top: "conv"\n', 'top: "conv" param { lr_mult: 0 } param { lr_mult: 2 }\n', 1
    )
    text.write_text(changed)
    free, frozen = caffe2fx.load(text, model), caffe2fx.load(text, model, freeze=True)
    assert all(parameter.requires_grad for parameter in free.parameters())
    left = {name for name, p in frozen.named_parameters() if not p.requires_grad}
    assert left == {"conv.weight"}
    frozen(images())[0].sum().backward()
    assert frozen.conv.weight.grad is None and frozen.conv.bias.grad is not None
    assert np.isfinite(frozen.conv.bias.grad.numpy()).all()
