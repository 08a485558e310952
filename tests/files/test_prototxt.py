"""prototxt text: read, refused with a line, and ours read by real Caffe."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from caffe2fx.engines.pycaffe import PycaffeEngine, Worker
from caffe2fx.errors import CaffeFormatError, EngineError, UnknownLayerError
from caffe2fx.files import prototxt
from caffe2fx.files.prototxt import parse, text_of
from caffe2fx.layers import Dropout, Input, Power, ReLU
from caffe2fx.messages.common import ParamSpec, Phase
from caffe2fx.module import save
from caffe2fx.net.net import Net
from caffe2fx.net.step import Step, Value

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'


def relu(name: str, bottom: str, top: str, more: str = "") -> str:
    return f'layer {{ name: "{name}" type: "ReLU" bottom: "{bottom}" top: "{top}" {more} }}\n'


def names(net: Net) -> list[str]:
    return [step.name for step in net.steps]


# The fault, the text, and a part of the error.
ERRORS = {
    "unknown field, with the nearest": (
        INPUT + 'layer {\n  name: "c" type: "Convolution" bottom: "x" top: "y"\n'
        "  convolution_param { num_outputs: 3 }\n}",
        r"net\.prototxt:4:23: .*num_outputs.* Did you mean 'num_output'\?\n"
        r"    convolution_param { num_outputs: 3 }",
    ),
    "unknown field, nothing near": (
        INPUT + 'layer { type: "ReLU" zzz: 3 }',
        r'net\.prototxt:2:22: Message type "LayerParameter" has no field named "zzz"(?!.*Did you)',
    ),
    "unknown field of the net": ("nmae: 'a'\n", r"net\.prototxt:1:1: .* Did you mean 'name'\?"),
    "field of another layer type's message": (
        INPUT + 'layer { type: "ReLU" relu_param { axis: 1 } }',
        r'net\.prototxt:2:35: .*"ReLUParameter" has no field named "axis"',
    ),
    "unknown member": (
        INPUT + 'layer { type: "Pooling" pooling_param {\n pool: MIN } }',
        r"net\.prototxt:3:8: .*PoolMethod.*MIN",
    ),
    "text for a number": (
        INPUT + 'layer { type: "ReLU" relu_param { negative_slope: "a" } }',
        r"net\.prototxt:2:51: .*Couldn't parse float",
    ),
    "negative for unsigned": (
        INPUT + 'layer { type: "Convolution" convolution_param { pad: -1 } }',
        r"net\.prototxt:2:54: ",
    ),
    "brace left open": (INPUT + 'layer {\n name: "a"\n', r"net\.prototxt:3:8: Expected \"}\""),
    "one brace too many": (INPUT + "}", r"net\.prototxt:2:1: "),
    "string left open": (INPUT + 'layer { name: "a }', r"net\.prototxt:2:15: "),
    "a field twice": (
        INPUT + 'layer { name: "a" name: "b" }',
        r"net\.prototxt:2:25: .*should not have multiple \"name\" fields",
    ),
    "nothing": ("", "net.prototxt needs at least one layer, got none"),
    "only a comment": ("# layer { }\n", "net.prototxt needs at least one layer, got none"),
    "missing bottom": (
        INPUT + "\n" + relu("a", "nowhere", "y"),
        r"net\.prototxt:3: layer 'a' needs bottom 'nowhere' to be produced before it",
    ),
    "bottom produced later": (
        INPUT + relu("a", "y", "z") + relu("b", "x", "y"),
        r"net\.prototxt:2: layer 'a' needs bottom 'y' to be produced before it",
    ),
    "two producers": (
        INPUT + relu("a", "x", "y") + relu("b", "x", "y"),
        r"net\.prototxt:3: layer 'b' needs a top of its own or its bottom's, got 'y'",
    ),
    "in place, at another position": (
        INPUT + INPUT.replace('"x"', '"w"')
        + 'layer { name: "a" type: "Eltwise" bottom: "w" bottom: "x" top: "x" }',
        r"net\.prototxt:3: layer 'a' needs top 0 to be a blob of its own or bottom 0, got 'x', "
        "which is bottom 1: Caffe stops there",
    ),
    "one top twice": (
        INPUT + 'layer { name: "a" type: "Slice" bottom: "x" top: "y" top: "y" }',
        r"net\.prototxt:2: layer 'a' needs tops of different names, got \['y', 'y'\]",
    ),
    "overwritten under another reader": (
        INPUT + relu("a", "x", "y") + relu("b", "x", "x"),
        r"net\.prototxt:3: layer 'b' needs to be the only reader of 'x' .* got "
        r"net\.prototxt:2: layer 'a' before it",
    ),
    "overwritten, read twice by itself": (
        INPUT + 'layer { name: "a" type: "Eltwise" bottom: "x" bottom: "x" top: "x" }',
        r"layer 'a' needs to be the only reader of 'x'",
    ),
    "include and exclude": (
        INPUT + relu("a", "x", "y", "include { phase: TEST } exclude { phase: TRAIN }"),
        r"net\.prototxt:2: layer 'a' needs include or exclude rules, got both",
    ),
    "deeper than any message": (
        INPUT + 'layer { name: "a" type: "ReLU"\n relu_param' + " { a" * 5000 + " }" * 5001,
        "net.prototxt:3: needs at most 100 messages inside each other, got more",
    ),
    "deeper than any list": (
        INPUT + 'layer { name: "a" type: "ReLU" top: ' + "[" * 5000 + "]" * 5000 + "}",
        "net.prototxt:2: needs at most 100 messages",
    ),
    "a required field that is absent": (
        INPUT + relu("a", "x", "y", "clip_param { max: 1 }"),
        r"layer 'a' \(ReLU\) needs clip_param\.min to be given, got none \(net\.prototxt:2\)",
    ),
    "a required field that is absent, in V1": (
        'layers { name: "a" type: RELU bottom: "x" top: "y" slice_param { }\nblobs { shape { } }\n'
        'clip_param { } }\ninput: "x" input_dim: [1, 1, 1, 1]',
        r"layer 'a' \(RELU\) needs clip_param\.min to be given, got none \(net\.prototxt:1\)",
    ),
    "a required field that is absent, in V0": (
        'input: "x" input_dim: [1, 1, 1, 1]\n'
        'layers { layer { name: "a" type: "relu" } bottom: "x" top: "y" clip_param { } }',
        r"`layers` needs clip_param\.min to be given, got none \(net\.prototxt:2\)",
    ),
    "a required field that is absent, in V1 after a layer": (
        INPUT + 'layers { name: "a" type: RELU bottom: "x" top: "y" clip_param { } }',
        r"layer 'a' \(RELU\) needs clip_param\.min to be given, got none \(net\.prototxt:2\)",
    ),
    "a field that we fold others' into": (
        INPUT + relu("a", "x", "y", '\nuser_text: "relu_param { negative_slope: 1 }"'),
        r"net\.prototxt:3: a layer has no field named 'user_text'",
    ),
    "weights of negative sizes": (
        INPUT + 'layer { name: "s" type: "Scale" bottom: "x" top: "y"\n'
        "blobs { num: -1 channels: -1 height: 1 width: 1 data: 1 } }",
        r"layer 's' needs blobs with a value for each element, got 1 for \(-1, -1, 1, 1\)",
    ),
    "one shape for two inputs": (
        'input: "x" input: "z" input_shape { dim: 1 }\n' + relu("a", "x", "y"),
        "net.prototxt needs one shape an input, got 2 and 1",
    ),
    "three input_dim": (
        'input: "x" input_dim: 1 input_dim: 3 input_dim: 4\n' + relu("a", "x", "y"),
        "net.prototxt needs four input_dim an input, got 3",
    ),
    "four input_dim for two inputs": (
        'input: "x" input: "z" input_dim: [1, 3, 4, 4]\n' + relu("a", "x", "y"),
        "net.prototxt needs four input_dim an input, got 4",
    ),
    "an input with a shape, which a layer makes too": (
        'input: "x" input_shape { dim: 5 }\n' + INPUT + relu("a", "x", "y"),
        "layer 'in' needs a top of its own or its bottom's, got 'x'",
    ),
    "parameters that contradict": (
        INPUT + 'layer { name: "c" type: "Convolution" bottom: "x" top: "y"\n'
        "convolution_param { kernel_size: 3 kernel_h: 2 } }",
        r"layer 'c' \(Convolution\) needs kernel given once.*net\.prototxt:2",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), ERRORS.values(), ids=ERRORS)
def test_errors_name_the_line(text: str, reason: str) -> None:
    with pytest.raises(Exception, match=reason) as error:
        parse(text, source="net.prototxt")
    assert isinstance(error.value, ValueError)


# Reading `input_shape(1)` that is not there, Caffe does not stop but reads other memory.
UNDEFINED = {"one shape for two inputs", "three input_dim", "four input_dim for two inputs"}
EMPTY = {"nothing", "only a comment"}  # which Caffe runs


@pytest.mark.pycaffe
@pytest.mark.parametrize("case", [case for case in ERRORS if case not in UNDEFINED | EMPTY])
def test_real_caffe_refuses_the_same_texts(case: str, tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(ERRORS[case][0])
    with Worker() as worker, pytest.raises(EngineError):
        worker.ask("load", prototxt=str(path), weights="", phase="TEST")


def test_unknown_types_are_listed_all_at_once_with_the_nearest() -> None:
    text = INPUT + "".join(
        f'layer {{ name: "l{index}" type: "{type_}" foreign_param {{ a: 1 }} }}\n'
        for index, type_ in enumerate(["Relu", "RELU", "BatchNrom", "convolution", "Xyzzy", "ReLU"])
    )
    with pytest.raises(UnknownLayerError) as error:
        parse(text, source="net.prototxt")
    assert str(error.value).splitlines() == [
        "net.prototxt needs layers that have no record:",
        "  'l0': 'Relu' (did you mean 'ReLU'?)",
        "  'l1': 'RELU' (did you mean 'ReLU'?)",
        "  'l2': 'BatchNrom' (did you mean 'BatchNorm'?)",
        "  'l3': 'convolution' (did you mean 'Convolution'?)",
        "  'l4': 'Xyzzy'",
    ]


@pytest.mark.parametrize(
    "content", [b"\x0a\x03net\xa2\x06\xff\xfe", b"\x0a\x03net\xa2\x06\x04\x0a\x02fc"]
)
def test_a_caffemodel_given_as_the_prototxt(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(content)
    with pytest.raises(CaffeFormatError, match=re.escape(str(path))):
        prototxt.read(path)


def test_origins_are_lines_of_the_file_whatever_is_between() -> None:
    text = "\n".join([
        "# layer { in a comment, don't count }",
        'name: "layer { in a string \\" } \\\\"  # layer',
        INPUT.strip(),
        "state { phase: TEST }",
        "layer: {",
        "  name: 'layer }'  # }",
        '  type: "ReLU" bottom: "x" top: "y"',
        "}",
        'layer < name: "angle" type: "ReLU" bottom: "y" top: "z" > layer',
        '{ name: "same line" type: "ReLU" bottom: "z" top: "w" }',
    ])  # fmt: skip
    net = parse(text, source="net.prototxt")
    assert [(step.name, step.origin.line) for step in net.steps] == [
        ("in", 3), ("layer }", 5), ("angle", 9), ("same line", 9)
    ]  # fmt: skip
    assert {step.origin.file for step in net.steps} == {"net.prototxt"}
    windows = parse(text.replace("\n", "\r\n"))
    assert [step.origin.line for step in windows.steps] == [3, 5, 9, 9]


def test_layers_of_a_list_are_at_its_line_or_at_none() -> None:
    entries = relu("one", "x", "y"), relu("other", "y", "z")
    listed = f"{INPUT}layer [{', '.join(entry.removeprefix('layer') for entry in entries)}]"
    net = parse(listed, source="net.prototxt")
    assert [(step.name, str(step.origin)) for step in net.steps[1:]] == [
        ("one", "net.prototxt:2"), ("other", "net.prototxt")
    ]  # fmt: skip


RULES = INPUT + "".join(
    relu(name, "x", name, rule)
    for name, rule in {
        "always": "",
        "test": "include { phase: TEST }",
        "train": "include { phase: TRAIN }",
        "not test": "exclude { phase: TEST }",
        "either": "include { phase: TRAIN } include { phase: TEST }",
        "level 0": "include { min_level: 0 max_level: 0 }",
        "level 1": "include { min_level: 1 }",
        "level below 0": "exclude { max_level: -1 }",
        "staged": 'include { stage: "deploy" }',
        "staged and test": 'include { stage: "deploy" phase: TEST }',
        "two stages": 'include { stage: "deploy" stage: "other" }',
        "not staged": 'include { not_stage: "deploy" }',
        "own phase": "phase: TRAIN",
    }.items()
)
STATES = {
    "none": "",
    "stage": 'state { stage: "deploy" }\n',
    "ignored": "state { phase: TRAIN level: 2 }\n",
}


@pytest.mark.pycaffe
@pytest.mark.parametrize("phase", ["TEST", "TRAIN"])
@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_rules_keep_the_layers_that_real_caffe_keeps(
    tmp_path: Path, state: str, phase: str
) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(state + RULES)
    with Worker() as worker:
        answer, _ = worker.ask("load", prototxt=str(path), weights="", phase=phase)
    kept = [layer["name"] for layer in answer["layers"] if layer["type"] != "Split"]
    assert names(prototxt.read(path, phase=phase)) == kept
    assert names(prototxt.read(path, phase=Phase[phase])) == kept


OLD_INPUTS = {
    "input_dim": 'input: "x" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4',
    "input_dim of two": 'input: "x" input: "w" ' + "".join(f"input_dim: {i} " for i in range(1, 9)),
    "input_shape": 'input: "x" input_shape { dim: 5 }',
    "input_shape of two": 'input: "x" input: "w" input_shape { dim: 5 } '
    "input_shape { dim: 6 dim: 1 }",
    "behind the layers": relu("a", "x", "y") + 'input: "x" input_shape { dim: 5 }',
    "more input_dim than inputs": 'input: "x" input_dim: [1, 2, 3, 4, 5, 6, 7, 8, 9]',
    "more shapes than inputs": 'input: "x" input_shape { dim: 5 } input_shape { dim: 6 }',
    "shapes and input_dim": 'input: "x" input_shape { dim: 5 } input_dim: [1, 2, 3, 4]',
    "beside its layer, without a shape": 'input: "x"\n' + INPUT + relu("a", "x", "y"),
    "sizes of no input": "input_dim: [1, 2, 3, 4] input_shape { dim: 7 }\n"
    + INPUT
    + relu("a", "x", "y"),
}


@pytest.mark.pycaffe
@pytest.mark.parametrize("text", OLD_INPUTS.values(), ids=OLD_INPUTS)
def test_old_inputs_become_the_layer_that_real_caffe_makes_of_them(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(text if "layer" in text else text + "\n" + relu("a", "x", "y"))
    net = prototxt.read(path)
    with Worker() as worker:
        answer, _ = worker.ask("load", prototxt=str(path), weights="", phase="TEST")
        tops = [top.blob for top in net.steps[0].tops]
        _, blobs = worker.ask("run", blobs=[], start=0, end=-1, wanted=tops)
    assert answer["layers"][0] == {
        "name": net.steps[0].name, "type": "Input", "bottoms": [], "tops": tops
    }  # fmt: skip
    assert net.steps[0].layer == Input(shape=tuple(blob.shape for blob in blobs))


def test_an_in_place_chain_becomes_one_value_a_writing_and_is_written_as_it_was() -> None:
    text = (
        INPUT
        + relu("a", "x", "y")
        + relu("b", "y", "y")
        + relu("c", "y", "y")
        + relu("d", "y", "z")
    )
    net = parse(text)
    assert [step.tops for step in net.steps[1:]] == [
        (Value("y"),), (Value("y", 1),), (Value("y", 2),), (Value("z"),)
    ]  # fmt: skip
    assert net.steps[4].bottoms == (Value("y", 2),)
    assert text_of(net).count('top: "y"') == 3
    assert parse(text_of(net)) == net


EVERYTHING = (
    'name: "all"\n' + INPUT
    + relu("a", "x", "y", 'relu_param { negative_slope: 0.1 } param { name: "p" lr_mult: 0 }')
    + 'layer { name: "s" type: "Slice" bottom: "y" top: "u" top: "v" slice_param { axis: -1 '
    "slice_point: 1 } }\n"
    'layer { name: "e" type: "Silence" bottom: "u" }\n'
    'layer { name: "d" type: "DummyData" top: "k" dummy_data_param { shape { dim: 2 } '
    "data_filler { value: 0.1 } } }\n"
    'layer { name: "p" type: "Parameter" top: "q" parameter_param { shape { } } }\n'
)  # fmt: skip


def test_text_of_a_parsed_net_parses_equal() -> None:
    net = parse(EVERYTHING)
    assert parse(text_of(net)) == net
    assert text_of(parse(text_of(net))) == text_of(net)
    assert net.name == "all"
    assert net.steps[1].params == (ParamSpec(name="p", lr_mult=0),)
    assert net.outputs == (Value("k"), Value("q"), Value("v"))


def test_a_header_stays_a_comment() -> None:
    net = parse(EVERYTHING)
    text = text_of(net, header='made by layer {\n"\n}')
    assert text.startswith('# made by layer {\n# "\n# }\n')
    assert parse(text) == net
    assert parse(text).steps[0].origin.line == parse(text_of(net)).steps[0].origin.line + 3


ODD_NAMES = (
    'double "quote"', "single 'quote'", "back\\slash", "new\nline", "tab\tcarriage\rreturn",
    "sla/sh", "grüße 日本 🙂", "# comment", "layer {", "}", "", " ", "\x01", "a" * 500,
)  # fmt: skip


def odd_net() -> Net:
    """Return a chain whose layers and blobs have the odd names."""
    steps = [Step("in", Input(shape=((2, 3),)), (), (Value("x"),))]
    for index, name in enumerate(ODD_NAMES):
        top = Value(name or "top of the layer without a name")
        layer = [ReLU(), Power(shift=0.1), Dropout()][index % 3]
        steps.append(Step(name, layer, steps[-1].tops, (top,)))
    return Net(tuple(steps), steps[-1].tops)


def test_odd_names_are_read_back() -> None:
    assert parse(text_of(odd_net())) == odd_net()


@pytest.mark.pycaffe
def test_real_caffe_reads_odd_names_as_we_meant_them(tmp_path: Path) -> None:
    files = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    save.save(odd_net(), *files)
    with Worker() as worker:
        answer, _ = worker.ask("load", prototxt=str(files[0]), weights=str(files[1]), phase="TEST")
    assert [layer["name"] for layer in answer["layers"]] == names(odd_net())
    assert [layer["tops"][0] for layer in answer["layers"]] == [
        step.tops[0].blob for step in odd_net().steps
    ]
    with PycaffeEngine().open(*files) as session:
        assert len(session.net.steps) == len(ODD_NAMES) + 1
