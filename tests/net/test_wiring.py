"""Net: single assignment, outputs, shapes, and their errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from caffe2fx.engines.pycaffe import Worker
from caffe2fx.errors import ShapeMismatchError
from caffe2fx.files.prototxt import parse
from caffe2fx.layers import Input, Pooling, ReLU
from caffe2fx.messages.common import ParamSpec
from caffe2fx.net.net import Net
from caffe2fx.net.ssa import single_assignment, unconsumed
from caffe2fx.net.step import Step, Value
from caffe2fx.origin import Origin
from tests.net.nets import TEXT, small


def value(text: str) -> Value:
    blob, _, version = text.partition("#")
    return Value(blob, int(version or 0))


@pytest.mark.parametrize(
    ("wiring", "wanted"),
    [
        ([("", "a"), ("a", "b")], [("", "a"), ("a", "b")]),
        ([("", "a"), ("a", "a"), ("a", "a")], [("", "a"), ("a", "a#1"), ("a#1", "a#2")]),
        # Readers behind an in-place layer read its result.
        (
            [("", "a"), ("a", "a"), ("a", "b"), ("a", "c")],
            [("", "a"), ("a", "a#1"), ("a#1", "b"), ("a#1", "c")],
        ),
        ([("", "a"), ("a", "b c"), ("c b", "c b")], [("", "a"), ("a", "b c"), ("c b", "c#1 b#1")]),
        # One of two tops in place: the second top's bottom is another blob.
        ([("", "a b"), ("a b", "a d")], [("", "a b"), ("a b", "a#1 d")]),
    ],
)
def test_single_assignment(wiring: list[tuple[str, str]], wanted: list[tuple[str, str]]) -> None:
    got = single_assignment([("l", bottoms.split(), tops.split()) for bottoms, tops in wiring])
    assert got == [
        (tuple(map(value, bottoms.split())), tuple(map(value, tops.split())))
        for bottoms, tops in wanted
    ]


ORDER = ("zz", "b", "a", "aa", "Z", "a_", "a1", "é", "日")


def fan(names: tuple[str, ...]) -> Net:
    text = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 } } }\n'
    text += "".join(
        f'layer {{ name: "{name}" type: "ReLU" bottom: "x" top: "{name}" }}\n' for name in names
    )
    return parse(text)


def test_outputs_are_the_values_without_readers() -> None:
    net = parse(TEXT)
    assert net.outputs == (Value("fc"), Value("left"))
    assert net.inputs == (Value("data"),)
    assert unconsumed(net.steps[:4]) == (Value("conv", 2),)
    assert unconsumed(net.steps[:1]) == (Value("data"),)


@pytest.mark.pycaffe
@pytest.mark.parametrize("text", [TEXT, None], ids=["small", "fan"])
def test_outputs_are_in_the_order_of_real_caffe(tmp_path: Path, text: str | None) -> None:
    net = parse(text) if text else fan(ORDER)
    path = tmp_path / "net.prototxt"
    path.write_text(text or "\n".join(
        ['layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 } } }']
        + [f'layer {{ name: "{n}" type: "ReLU" bottom: "x" top: "{n}" }}' for n in ORDER]
    ))  # fmt: skip
    with Worker() as worker:
        answer, _ = worker.ask("load", prototxt=str(path), weights="", phase="TEST")
    assert [output.blob for output in net.outputs] == answer["outputs"]


def test_shapes_of_every_value() -> None:
    image = (2, 4, 4, 3)
    assert parse(TEXT).shapes() == {
        Value("data"): (2, 3, 6, 5),
        Value("conv"): image,
        Value("conv", 1): image,
        Value("conv", 2): image,
        Value("left"): (2, 2, 4, 3),
        Value("right"): (2, 2, 4, 3),
        Value("fc"): (2, 2),
    }


def test_a_shape_error_names_layer_type_and_line() -> None:
    text = TEXT.replace("kernel_size: 3", "kernel_size: 7")
    with pytest.raises(ShapeMismatchError) as error:
        parse(text, source="small.prototxt").shapes()
    assert str(error.value) == (
        "layer 'conv' (Convolution) needs an input of at least its kernel, got (6, 5) "
        "(small.prototxt:4)"
    )


def test_a_step_without_a_file_names_no_line() -> None:
    fault = Step("a", ReLU()).fault(ShapeMismatchError("needs x"))
    assert str(fault) == "layer 'a' (ReLU) needs x"


def test_reshaped() -> None:
    net = parse(TEXT)
    wider = net.reshaped([(1, 3, 9, 8)])
    assert wider.shapes()[Value("right")] == (1, 2, 7, 6)
    assert net.reshaped([(7, 3, 6, 5)]).shapes()[Value("fc")] == (7, 2)
    assert net.reshaped([(2, 3, 6, 5)]) == net
    assert net.shapes()[Value("data")] == (2, 3, 6, 5)  # the net itself stays
    two = parse('layer { name: "in" type: "Input" top: "a" top: "b" '
                "input_param { shape { dim: 2 dim: 3 } } }")  # fmt: skip
    assert two.reshaped([(4,), (5, 6)]).steps[0].layer == Input(shape=((4,), (5, 6)))


def test_a_batch_that_weights_do_not_allow_is_refused() -> None:
    with pytest.raises(ShapeMismatchError, match=r"layer 'fc' .* 2x84, 2, got 2x24, 2 "):
        small().caffe.net.reshaped([(1, 3, 9, 8)]).check_blobs()


def test_producers_and_uses() -> None:
    net = parse(TEXT)
    assert net.producers()[Value("conv", 1)].name == "bn"
    assert net.producers()[Value("right")].name == "cut"
    uses = net.uses()
    assert uses[Value("right")] == 1
    assert uses[Value("left")] == 1  # as an output
    assert uses[Value("data")] == 1


def test_equality_is_by_content() -> None:
    net = small().caffe.net
    assert net == small().caffe.net
    first = net.steps[1]
    moved = replace(first, origin=Origin(file="elsewhere", line=9))
    assert moved == first
    assert replace(first, params=(ParamSpec(lr_mult=0),)) != first
    assert replace(first, blobs=first.blobs[:1]) != first
    assert replace(first, blobs=(first.blobs[0] + 1e-6, first.blobs[1])) != first
    assert replace(first, name="other") != first
    assert first != "conv"
    with pytest.raises(TypeError):
        hash(first)


def test_records_of_the_same_fields_are_equal() -> None:
    assert Pooling(kernel_h=3, kernel_w=3, pad_h=0, pad_w=0) == Pooling(kernel_size=3)
    assert Pooling(kernel_h=3, kernel_w=2) != Pooling(kernel_h=2, kernel_w=3)


def test_printed_a_line_a_step() -> None:
    lines = str(parse(TEXT)).splitlines()
    assert lines[1] == "conv: conv = Convolution(num_output=4, kernel_size=(3,)) <- data"
    assert lines[3] == "relu: conv#2 = ReLU() <- conv#1"
    assert lines[4] == "cut: left, right = Slice() <- conv#2"
    assert lines[-1] == "outputs: fc, left"


def test_blobs_are_named_when_they_do_not_fit() -> None:
    net = small().caffe.net
    wrong = replace(net.steps[1], blobs=(torch.zeros(4, 3, 3, 3),))
    bad = replace(net, steps=(net.steps[0], wrong, *net.steps[2:]))
    with pytest.raises(ShapeMismatchError) as error:
        bad.check_blobs()
    assert str(error.value) == (
        "layer 'conv' (Convolution) needs weight blobs of shapes 4x3x3x3, 4, got 4x3x3x3 "
        "(small.prototxt:4)"
    )
