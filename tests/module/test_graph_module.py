"""The GraphModule of a net: names, copies, inputs, weights."""

from __future__ import annotations

import copy
import io
import keyword
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import fx, nn

import caffe2fx
from caffe2fx.engines.pycaffe import PycaffeEngine
from caffe2fx.errors import CaffeFormatError, ShapeMismatchError
from caffe2fx.files.prototxt import parse
from caffe2fx.layers import Input, Power, ReLU
from caffe2fx.module.builder import graph_module, identifier
from caffe2fx.module.graph_module import CaffeGraphModule
from caffe2fx.net.match_weights import with_weights
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value
from caffe2fx.weights.caffemodel import LayerWeights
from tests.net.nets import TEXT, files, images, small, weights


def chain(*names: str) -> Net:
    """Return Power layers of these names, each with a top of the same name, one after the other."""
    steps = [Step("in", Input(shape=((2, 3),)), (), (Value("x"),))]
    for index, name in enumerate(names):
        top = Value(f"top {index}")
        steps.append(Step(name, Power(shift=index + 1), steps[-1].tops, (top,)))
    return Net(tuple(steps), steps[-1].tops)


EVIL = 'x"); import os; os.abort()  #\n    __import__("os").abort()'
ODD = (
    "forward", "training", "meta", "graph", "code", "caffe", "_modules", "state_dict", "eval",
    "class", "None", "import", "1conv", "", " ", "a/b", "a_b", "a b", "a.b", "é", "日本", "x",
    "self", "torch", "device", "input", "output", "getitem", "_forward_hooks", "__init__", EVIL,
)  # fmt: skip


def test_layers_of_odd_names_run_and_keep_their_names() -> None:
    module = graph_module(chain(*ODD))
    x = torch.zeros(2, 3)
    total = sum(range(1, len(ODD) + 1))
    assert torch.equal(module(x), torch.full((2, 3), float(total)))
    assert tuple(module.caffe.names.modules.values()) == ODD
    for name in module.caffe.names.modules:
        assert name.isidentifier() and name.isascii() and not keyword.iskeyword(name)
        assert isinstance(module.get_submodule(name), nn.Module)
    assert module.training is False and isinstance(module.graph, fx.Graph)
    assert len(module.caffe.blobs(x)) == len(ODD) + 1


def test_input_blobs_of_odd_names_are_arguments() -> None:
    tops = tuple(Value(name) for name in (*ODD, "def", "x y"))
    step = Step("in", Input(shape=((1,),)), (), tops)
    over = Step("a", ReLU(), tops[-1:], (Value("y"),))
    module = graph_module(Net((step, over), (Value("y"),)))
    given = {value.blob: torch.full((1,), float(i)) for i, value in enumerate(tops)}
    assert float(module.caffe.blobs(given)["y"]) == len(tops) - 1


def test_a_malicious_name_never_reaches_generated_code() -> None:
    module = graph_module(chain(EVIL))
    assert "abort()" not in module.code and "import os" not in module.code
    assert "import os" not in str(module.graph).replace(EVIL, "")
    assert "abort()" not in copy.deepcopy(module).code


def test_identifiers_do_not_collide() -> None:
    taken: set[str] = set()
    made = [identifier(name, taken) for name in ("a/b", "a_b", "a.b", "a_b_2", "1", "_1", "if")]
    assert made == ["a_b", "a_b_1", "a_b_2", "a_b_2_1", "_1", "_1_1", "if_"]
    assert taken == set(made)


def test_modules_are_torchs_own() -> None:
    module = small()
    kinds = {name: type(child).__name__ for name, child in module.named_children()}
    assert kinds == {
        "conv": "Conv2d", "bn": "BatchNorm2d", "relu": "ReLU", "cut": "RecordModule",
        "fc": "FlattenedLinear",
    }  # fmt: skip
    fc, left = module(images())
    assert (tuple(fc.shape), tuple(left.shape)) == ((2, 2), (2, 2, 4, 3))
    assert module.caffe.inputs == ("data",) and module.caffe.outputs == ("fc", "left")


def torch_saved(module: CaffeGraphModule) -> CaffeGraphModule:
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    loaded: CaffeGraphModule = torch.load(buffer, weights_only=False)
    return loaded


COPIES = {
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "pickle": lambda module: pickle.loads(pickle.dumps(module)),
    "torch.save": torch_saved,
    "twice": lambda module: copy.deepcopy(pickle.loads(pickle.dumps(module))),
}


@pytest.mark.parametrize("make", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("training", [False, True])
def test_copies_keep_weights_mode_and_the_net(make: Any, training: bool) -> None:
    module = small().train(training)
    module.bn.eval()
    made = make(module)
    assert isinstance(made, CaffeGraphModule)
    assert (made.training, made.conv.training, made.bn.training) == (training, training, False)
    assert made.caffe.net == module.caffe.net
    assert made.caffe.names == module.caffe.names
    made.eval(), module.eval()
    for mine, theirs in zip(made(images()), module(images()), strict=True):
        assert torch.equal(mine, theirs)
    assert made.caffe.blobs(images()).keys() == module.caffe.blobs(images()).keys()


def test_a_deep_copy_owns_its_weights() -> None:
    module = small()
    made = copy.deepcopy(module)
    with torch.no_grad():
        made.conv.weight.zero_()
    assert bool(module.conv.weight.detach().any())
    zeroed = made.caffe.blobs(images())["conv@conv"]
    assert torch.equal(zeroed, made.conv.bias[:, None, None].expand_as(zeroed))


def test_blobs_show_every_writing_of_an_in_place_chain() -> None:
    module = small()
    blobs = module.caffe.blobs(images())
    assert list(blobs) == [
        "data", "conv@conv", "conv@bn", "conv@relu", "conv", "left", "right", "fc"
    ]  # fmt: skip
    assert torch.equal(blobs["data"], images())
    assert torch.equal(blobs["conv@conv"], module.conv(images()))
    assert torch.equal(blobs["conv@bn"], module.bn(module.conv(images())))
    assert torch.equal(blobs["conv"], blobs["conv@relu"])
    assert float(blobs["conv@bn"].detach().min()) < 0 <= float(blobs["conv"].detach().min())
    assert torch.equal(torch.cat([blobs["left"], blobs["right"]], 1), blobs["conv"])


@pytest.mark.pycaffe
def test_blobs_are_real_caffes(tmp_path: Path) -> None:
    text, model = files(tmp_path)
    blobs = caffe2fx.load(text, model).caffe.blobs(images())
    with PycaffeEngine().open(text, model) as session:
        for step, tops in session.run([images()]):
            for value, top in zip(step.tops, tops, strict=True):
                seen = blobs.get(f"{value.blob}@{step.name}", blobs[value.blob])
                torch.testing.assert_close(seen, top)


def test_inputs_in_every_form() -> None:
    view = small().caffe
    x = images()
    wanted = view.blobs(x)["fc"]
    given: list[Any] = [(x,), [x], {"data": x}, x.numpy(), {"data": x.numpy()}, (x.numpy(),)]
    for form in given:
        assert torch.equal(view.blobs(form)["fc"], wanted)
    one = view.blobs(images(1))["fc"]
    assert torch.equal(view.blobs(images(1)[0].numpy())["fc"], one)
    as_float64 = np.asfortranarray(images(1).numpy().astype(np.float64))
    assert torch.equal(view.blobs(as_float64)["fc"], one)


def test_an_array_gets_a_batch_axis_only_where_the_net_has_one_more() -> None:
    step = Step("in", Input(shape=((2, 3, 4),)), (), (Value("x"),))
    module = graph_module(Net((step, Step("a", ReLU(), step.tops, (Value("y"),))), (Value("y"),)))
    array = np.ones((2, 3, 4), dtype=np.float32)
    assert tuple(module.caffe.blobs(array)["y"].shape) == (2, 3, 4)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ((images(), images()), r"needs inputs \['data'\], got 2 of them"),
        (({"image": images()},), r"needs inputs \['data'\], got \['image'\]"),
        (({"data": images(), "extra": images()},), r"got \['data', 'extra'\]"),
        ((), r"needs inputs \['data'\], got 0"),
    ],
)
def test_wrong_inputs_are_named(given: tuple[Any, ...], reason: str) -> None:
    with pytest.raises(ShapeMismatchError, match=reason):
        small().caffe.blobs(*given)


def test_outputs_are_chosen_and_ordered_by_the_caller(tmp_path: Path) -> None:
    paths = files(tmp_path)
    x = images()
    blobs = small().caffe.blobs(x)
    swapped = caffe2fx.load(*paths, outputs=["left", "fc"])
    for name, got in zip(["left", "fc"], swapped(x), strict=True):
        assert torch.equal(got, blobs[name])
    inner = caffe2fx.load(*paths, outputs=["conv"])
    assert torch.equal(inner(x), blobs["conv"])  # one blob: a tensor; the final content
    assert "fc" not in dict(inner.named_children())
    with pytest.raises(CaffeFormatError, match=r"outputs need to be blobs .* got \['prob'\]"):
        caffe2fx.load(*paths, outputs=["prob", "fc"])


def changed(name: str, *blobs: torch.Tensor) -> list[LayerWeights]:
    return [w if w.name != name else LayerWeights(name, w.type, blobs) for w in weights()]


WRONG_WEIGHTS = {
    "no such layer": (
        weights()[:2],
        r"net\.caffemodel: layer 'fc' \(InnerProduct\) needs weight blobs of shapes 2x24, 2, "
        r"got none \(small\.prototxt:9\)",
    ),
    "no weights at all": ([], "layer 'conv' .* needs weight blobs of shapes 4x3x3x3, 4, got none"),
    "one blob too few": (changed("conv", torch.zeros(4, 3, 3, 3)), "4x3x3x3, 4, got 4x3x3x3 "),
    "one too many": (
        changed("fc", torch.zeros(2, 24), torch.zeros(2), torch.zeros(1)),
        "needs weight blobs of shapes 2x24, 2, got 2x24, 2, 1 ",
    ),
    "transposed": (changed("fc", torch.zeros(24, 2), torch.zeros(2)), "2x24, 2, got 24x2, 2 "),
    "two blobs of BatchNorm": (
        changed("bn", torch.zeros(4), torch.zeros(4)), "of shapes 4, 4, 1, got 4, 4 "
    ),
    "scalar factor": (
        changed("bn", torch.zeros(4), torch.zeros(4), torch.tensor(1.0)),
        "of shapes 4, 4, 1, got 4, 4, scalar ",
    ),
    "blobs of a layer that takes none": (
        [*weights(), LayerWeights("relu", "ReLU", (torch.zeros(1),))],
        r"layer 'relu' \(ReLU\) needs weight blobs of shapes none, got 1 ",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("given", "reason"), WRONG_WEIGHTS.values(), ids=WRONG_WEIGHTS)
def test_weights_that_do_not_fit_name_both_sides(given: list[LayerWeights], reason: str) -> None:
    net = parse(TEXT, source="small.prototxt")
    with pytest.raises(ShapeMismatchError, match=reason):
        with_weights(net, given, source="net.caffemodel")


@pytest.mark.pycaffe
@pytest.mark.parametrize("case", WRONG_WEIGHTS)
def test_real_caffe_on_the_same_weights(tmp_path: Path, case: str) -> None:
    """It dies too, but for a layer that is not in the file, which it leaves at random."""
    text, model = files(tmp_path)
    caffe2fx.weights.caffemodel.write(model, "", WRONG_WEIGHTS[case][0])
    if case in ("no such layer", "no weights at all"):
        PycaffeEngine().open(text, model).__exit__(None, None, None)
        return
    with pytest.raises(caffe2fx.EngineError, match=r"died"):
        PycaffeEngine().open(text, model)


def test_unknown_keys_are_ignored_and_the_last_of_a_name_counts() -> None:
    net = parse(TEXT)
    other = LayerWeights("other", "ReLU", (torch.zeros(3),))
    first = LayerWeights("conv", "Convolution", (torch.zeros(1),))
    filled = with_weights(net, [other, first, *weights()])
    assert filled == with_weights(net, weights())


def test_two_layers_of_one_name_are_refused_where_they_take_weights() -> None:
    twice = TEXT.replace('name: "fc"', 'name: "conv"').replace("num_output: 2", "num_output: 4")
    with pytest.raises(CaffeFormatError, match=r"layer 'conv' .* needs a name of its own"):
        with_weights(parse(twice), weights())
    without = TEXT.replace('name: "cut"', 'name: "relu"')
    assert with_weights(parse(without), weights()).steps[4].name == "relu"
