"""Layers that a user registers: builders, records, Python layers, and the errors without them."""

from __future__ import annotations

import copy
import pickle
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import caffe2fx
import fx2caffe
from caffe2fx.engines.pycaffe import starter
from caffe2fx.errors import CaffeError, CaffeFormatError, UnknownLayerError
from caffe2fx.files.prototxt import parse, text_of
from caffe2fx.layers.layer import Layer
from caffe2fx.messages import text_fields
from caffe2fx.messages.message import Shape, field
from caffe2fx.weights import caffemodel
from tests.layers.user import STATED_SHAPES

Parameters = dict[str, Any]
NET = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "mine" type: "Mine" bottom: "x" top: "y"  # a comment
  mine_param { size: 2.5 words: "a } \\"b" words: 'c'
    kind: FAST inner < list: [1, -2] yes: true > }
  include { phase: TEST } relu_param { negative_slope: 0.5 }
}
layer { name: "relu" type: "ReLU" bottom: "y" top: "z" }
"""
STATED = {
    "mine_param": {
        "size": 2.5,
        "words": ['a } "b', "c"],
        "kind": "FAST",
        "inner": {"list": [1, -2], "yes": True},
    },
    "relu_param": {"negative_slope": 0.5},
}


def mine(
    parameters: Parameters, bottoms: Sequence[Shape], blobs: Sequence[Tensor]
) -> Callable[..., Tensor]:
    assert parameters == STATED
    assert [bottom[1:] for bottom in bottoms] == [(3,)]
    return lambda x: x * blobs[0] + parameters["mine_param"]["size"]


@pytest.fixture
def registered() -> Iterator[None]:
    caffe2fx.register("Mine", blobs=lambda parameters, bottoms: [bottoms[0][1:]])(mine)
    yield
    caffe2fx.unregister("Mine")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "net.prototxt").write_text(NET)
    weights = [caffemodel.LayerWeights("mine", "Mine", (torch.tensor([1.0, -2.0, 3.0]),))]
    caffemodel.write(tmp_path / "net.caffemodel", "", weights)
    return tmp_path / "net.prototxt", tmp_path / "net.caffemodel"


X = torch.tensor([[1.0, 2.0, -3.0], [0.5, 0.0, 4.0]])
WANTED = (X * torch.tensor([1.0, -2.0, 3.0]) + 2.5).relu()


@pytest.mark.usefixtures("registered")
def test_a_builder_gives_a_type_its_meaning(files: tuple[Path, Path]) -> None:
    loaded = caffe2fx.load(*files)
    assert torch.equal(loaded(X), WANTED)
    assert torch.equal(copy.deepcopy(loaded)(X), WANTED)
    assert torch.equal(pickle.loads(pickle.dumps(loaded))(X), WANTED)
    loaded(X).sum().backward()
    assert [tuple(p.grad.shape) for p in loaded.parameters() if p.grad is not None] == [(3,)]


@pytest.mark.usefixtures("registered")
def test_its_text_is_written_and_read_again() -> None:
    net = parse(NET, source="net.prototxt")
    again = parse(text_of(net))
    assert again.steps == net.steps
    assert [step.origin.line for step in net.steps] == [2, 3, 8]


@pytest.mark.usefixtures("registered")
def test_weights_are_saved_and_checked(files: tuple[Path, Path], tmp_path: Path) -> None:
    loaded = caffe2fx.load(*files)
    with torch.no_grad():
        for blob in loaded.parameters():
            blob.mul_(2)
    caffe2fx.save_weights(loaded, tmp_path / "new.caffemodel")
    again = caffe2fx.load(files[0], tmp_path / "new.caffemodel")
    assert torch.equal(again(X), loaded(X))
    wrong = [caffemodel.LayerWeights("mine", "Mine", (torch.zeros(4),))]
    caffemodel.write(files[1], "", wrong)
    with pytest.raises(caffe2fx.ShapeMismatchError, match=r"'mine' \(Mine\) .* shapes 3, got 4"):
        caffe2fx.load(*files)


@pytest.mark.usefixtures("registered")
def test_no_target_takes_it_unasked(files: tuple[Path, Path]) -> None:
    with pytest.raises(fx2caffe.UnsupportedError, match="needs layer Mine, which target"):
        fx2caffe.export(caffe2fx.load(*files), (X,))


def scaled(_: Parameters, bottoms: Sequence[Shape], blobs: Sequence[Tensor]) -> nn.Module:
    made = nn.Linear(bottoms[0][1], 2)
    made.weight, made.bias = map(nn.Parameter, blobs)
    return made


def two_blobs(_: Parameters, bottoms: Sequence[Shape]) -> list[Shape]:
    return [(2, bottoms[0][1]), (2,)]


def test_a_builder_may_give_a_module_and_state_its_tops(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(NET)
    caffe2fx.register("Mine", blobs=two_blobs, tops=lambda _, bottoms: [(bottoms[0][0], 2)])(scaled)
    try:
        loaded = caffe2fx.load(tmp_path / "net.prototxt")
    finally:
        caffe2fx.unregister("Mine")
    assert isinstance(loaded.mine, nn.Linear)
    assert loaded(X).shape == (2, 2)


def test_a_module_must_hold_its_blobs(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(NET)

    @caffe2fx.register("Mine", blobs=two_blobs)
    def other(_: Parameters, bottoms: Sequence[Shape], blobs: Sequence[Tensor]) -> nn.Module:
        return nn.PReLU()

    try:
        with pytest.raises(CaffeError, match=r"parameters are its 2 blob\(s\).*shapes \[\(1,\)\]"):
            caffe2fx.load(tmp_path / "net.prototxt")
    finally:
        caffe2fx.unregister("Mine")


def test_a_function_of_numpy_needs_its_tops_stated(tmp_path: Path) -> None:
    def doubled(_: Parameters, bottoms: Sequence[Shape], blobs: Sequence[Tensor]) -> Any:
        return lambda x: torch.from_numpy(2 * x.numpy())

    (tmp_path / "net.prototxt").write_text(NET)
    try:
        caffe2fx.register("Mine")(doubled)
        with pytest.raises(CaffeError, match=r"layer 'mine' \(Mine\) needs tops= of"):
            caffe2fx.load(tmp_path / "net.prototxt")
        caffe2fx.unregister("Mine")
        caffe2fx.register("Mine", tops=lambda _, bottoms: bottoms)(doubled)
        assert torch.equal(caffe2fx.load(tmp_path / "net.prototxt")(X), (2 * X).relu())
    finally:
        caffe2fx.unregister("Mine")


def test_a_builder_must_give_as_many_results_as_tops() -> None:
    @caffe2fx.register("Mine")
    def pair(_: Parameters, bottoms: Sequence[Shape], blobs: Sequence[Tensor]) -> Any:
        return lambda x: (x, x)

    try:
        with pytest.raises(CaffeError, match=r"needs 1 result\(s\), one a top, got 2"):
            parse(NET).shapes()
    finally:
        caffe2fx.unregister("Mine")


def test_a_record_of_ones_own() -> None:
    @caffe2fx.register("Twice")
    @dataclass(frozen=True, kw_only=True)
    class Twice(Layer):
        type = "Twice"
        parameter = ("twice_param", 1234)
        message = "TwiceParameter"
        factor: float = field(1, "float", 2.0)

        def compute(
            self, bottoms: Sequence[Tensor], blobs: Sequence[Tensor], tops: int
        ) -> tuple[Tensor, ...]:
            return (bottoms[0] * self.factor,)

    text = NET.replace("Mine", "Twice").replace("mine_param", "twice_param")
    start, end = text.index("twice_param"), text.index("include")
    text = f"{text[:start]} twice_param {{ factor: 3 }} {text[end:]}"
    try:
        net = parse(text)
        assert net.steps[1].layer == Twice(factor=3.0)
        assert parse(text_of(net)).steps == net.steps
    finally:
        caffe2fx.unregister("Twice")
    with pytest.raises(UnknownLayerError, match="'mine': 'Twice'"):
        parse(text)


def test_types_that_are_not_registered_are_listed_at_once() -> None:
    python = """
    layer { name: "p" type: "Python" bottom: "x" top: "q"
      python_param { module: "my_layers" layer: "Unheard" } }
    layer { name: "q" type: "Relu" bottom: "q" top: "r" }"""
    with pytest.raises(UnknownLayerError) as caught:
        parse(NET + python)
    assert "'mine': 'Mine'" in str(caught.value)
    assert "'p': 'Python: my_layers.Unheard' (see caffe2fx.register)" in str(caught.value)
    assert "'q': 'Relu' (did you mean 'ReLU'?)" in str(caught.value)


@pytest.mark.parametrize(
    ("type_", "layer", "reason"),
    [
        ("ReLU", "", "layer type 'ReLU' is registered already"),
        ("Python", "", "needs the name of its class"),
        ("Python", STATED_SHAPES.layer, "Python layer 'Caffe2fxTimes' is registered already"),
        ("Mine", "Class", "needs type 'Python', got 'Mine'"),
    ],
)
def test_types_that_cannot_be_registered(type_: str, layer: str, reason: str) -> None:
    with pytest.raises(CaffeError, match=reason):
        caffe2fx.register(type_, layer=layer)


def test_a_record_is_registered_under_its_own_type() -> None:
    with pytest.raises(CaffeError, match="Layer needs type 'Mine', got ''"):
        caffe2fx.register("Mine")(Layer)


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("text", ["mine_param { size: }", "mine_param {", "mine_param { : 3 }"])
def test_text_that_cannot_be_parsed_is_quoted(text: str) -> None:
    broken = NET[: NET.index("mine_param")] + text + "}"
    with pytest.raises(CaffeFormatError, match=r"net.prototxt:4:"):
        parse(broken, source="net.prototxt")


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("a: 1 b: -2.5 c: 1e3 d: 0x10 e: 1.5f", {"a": 1, "b": -2.5, "c": 1e3, "d": 16, "e": 1.5}),
        ('a: "x" "y"; b: \'\\303\\244\\n\', c: ""', {"a": "xy", "b": "ä\n", "c": ""}),
        ("a: [1, 2] a: 3 b: []", {"a": [1, 2, 3], "b": []}),
        ("a { } b: { c: X } d < e: false > # d: 3", {"a": {}, "b": {"c": "X"}, "d": {"e": False}}),
    ],
)
def test_text_without_a_schema(text: str, stated: Parameters) -> None:
    assert text_fields.parameters(text) == stated
    assert text_fields.parameters(text_fields.normal(text)) == stated


CLASS = """
import caffe

class Caffe2fxTimes(caffe.Layer):
    def setup(self, bottom, top):
        self.factor = float(self.param_str or 1)

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data * self.factor
"""
SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
import numpy as np, caffe
net = caffe.Net({folder!r} + "/net.prototxt", caffe.TEST)
net.blobs["x"].data[...] = np.load({folder!r} + "/x.npy")
net.forward()
np.save({folder!r} + "/y.npy", net.blobs["y"].data)
"""


@pytest.mark.pycaffe
def test_a_python_layer_in_real_caffe(tmp_path: Path) -> None:
    (tmp_path / f"{STATED_SHAPES.module}.py").write_text(CLASS)
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
        'layer { name: "p" type: "Python" bottom: "x" top: "y" python_param '
        f'{{ module: "{STATED_SHAPES.module}" layer: "{STATED_SHAPES.layer}" param_str: "3" }} }}\n'
    )
    np.save(tmp_path / "x.npy", X.numpy())
    found = starter()
    assert found is not None
    command, env = found
    ran = subprocess.run(
        [*command, "-c", SCRIPT.format(folder=str(tmp_path))],
        env=None if env is None else dict(env), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    loaded = caffe2fx.load(tmp_path / "net.prototxt")
    assert torch.equal(loaded(X), torch.from_numpy(np.load(tmp_path / "y.npy")))


V1 = """
input: "x" input_dim: 2 input_dim: 3 input_dim: 1 input_dim: 1
layers { name: "a" type: %s bottom: "x" top: "y" blobs_lr: 2 blobs_lr: 0
  mine_param { size: 2.5 } include { phase: TEST } }
layers { name: "relu" type: RELU bottom: "y" top: "z" }
"""


def added(
    parameters: Parameters, bottoms: Sequence[Shape], blobs: Sequence[Tensor]
) -> Callable[..., Tensor]:
    return lambda x: x + parameters["mine_param"]["size"]


@pytest.mark.parametrize("word", ["MY_SUM", "MYSUM", "MySum"])
def test_layers_of_2014_name_a_registered_type_in_capitals(word: str) -> None:
    caffe2fx.register("MySum", blobs=lambda parameters, bottoms: [(1,), (1,)])(added)
    try:
        net = parse(V1 % word)
        step = next(step for step in net.steps if step.name == "a")
        assert step.layer.type == "MySum" and [spec.lr_mult for spec in step.params] == [2, 0]
        assert step.origin.line == 3
        assert step.layer.compute((torch.zeros(3),), (), 1)[0].tolist() == [2.5] * 3
        assert parse(text_of(net)).steps[1].layer == step.layer
    finally:
        caffe2fx.unregister("MySum")


def test_a_word_that_several_types_could_mean_is_refused() -> None:
    caffe2fx.register("MySum")(mine)
    caffe2fx.register("Mysum")(mine)
    try:
        with pytest.raises(UnknownLayerError, match=r"'a': 'MYSUM' \(which of MySum, Mysum\?\)"):
            parse(V1 % "MYSUM")
        assert parse(V1 % "MY_SUM").steps[1].layer.type == "MySum"
        assert parse(V1 % "Mysum").steps[1].layer.type == "Mysum"
    finally:
        caffe2fx.unregister("MySum")
        caffe2fx.unregister("Mysum")


def test_a_type_that_is_no_word_can_be_registered() -> None:
    caffe2fx.register("my-sum")(mine)
    try:
        assert parse(NET.split('layer { name: "mine"')[0]).steps
    finally:
        caffe2fx.unregister("my-sum")
