"""Fields that direct how forks run a layer do not stop a load, and stay in the text."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path

import pytest
import torch

from caffe2fx.files.descriptors import _reachable
from caffe2fx.files.prototxt import parse, text_of
from caffe2fx.layers.layer import BVLC
from caffe2fx.layers.registry import records
from caffe2fx.messages.layer_parameter import LayerHints, LayerParameter, Quantization
from caffe2fx.messages.message import Choice, Message, is_enum
from caffe2fx.module.builder import graph_module
from caffe2fx.net.initial_weights import with_initial_weights

INPUT = 'input: "x" input_shape { dim: [2, 4, 5, 5] } input: "y" input_shape { dim: [2, 4, 5, 5] }'
FILLED = 'num_output: 3 weight_filler { type: "xavier" }'
QUANTIZATION = """quantization_param { precision: DYNAMIC_FIXED_POINT rounding_scheme: NEAREST
    bw_layer_in: 8 bw_layer_out: 8 bw_params: 8 fl_layer_in: 1 fl_layer_out: 2 fl_params: 3
    scale_in: 70.62 scale_out: 37.23 scale_params: 1.5 scale_params: 2.5
    is_negative_input: true force_u8_input: true }"""

# Layer type, its parameters, and the hint in them.
HINTED = (
    ("ReLU", "", 'engine: "MKLDNN:CAFFE"'),
    ("ReLU", "", "forward_type: FLOAT16 backward_type: FLOAT forward_math: FLOAT16"),
    ("ReLU", "", "backward_math: FLOAT cudnn_math_override: 1 debug: true"),
    ("ReLU", "", QUANTIZATION),
    ("Convolution", f"convolution_param {{ kernel_size: 3 {FILLED} % }}",
     'cudnn_convolution_algo_seeker: GET conv_algos_override: "1,1,1" conv_algorithm: "winograd"'),
    ("InnerProduct", f"inner_product_param {{ {FILLED} % }}", "engine: MKLDNN"),
    ("BatchNorm", "batch_norm_param { use_global_stats: true % }",
     "engine: CUDNN filler { value: 1 }"),
    ("Concat", "concat_param { axis: 2 % }", "engine: MKLDNN per_fla_fuse: true"),
    ("Dropout", "dropout_param { dropout_ratio: 0.25 % }", "engine: CUDNN random_seed: 7"),
    ("Eltwise", "eltwise_param { operation: PROD % }", "engine: MKL2017"),
    ("HardSwish", "hardswish_param { % }", "engine: CUDNN"),
)  # fmt: skip

hinted = pytest.mark.parametrize(
    ("type_", "parameters", "hints"), HINTED,
    ids=[f"{type_}_{hints.split(':')[0]}" for type_, _, hints in HINTED],
)  # fmt: skip


def text(type_: str, parameters: str, hints: str = "") -> str:
    """Return a net of one layer; the hints replace the % in its parameters."""
    bottoms = 'bottom: "x" bottom: "y"' if type_ in ("Concat", "Eltwise") else 'bottom: "x"'
    inside = "%" in parameters
    stated = parameters.replace("%", hints) if inside else f"{parameters} {hints}"
    return f'{INPUT} layer {{ name: "l" type: "{type_}" {bottoms} top: "z" {stated} }}'


@hinted
def test_a_hint_changes_no_value(type_: str, parameters: str, hints: str) -> None:
    given = torch.randn(2, 4, 5, 5), torch.randn(2, 4, 5, 5)
    tops = []
    for stated in (hints, ""):
        torch.manual_seed(0)
        net = parse(text(type_, parameters, stated))
        tops.append(graph_module(with_initial_weights(net)).eval()(*given))
    assert all(map(torch.equal, *((one if isinstance(one, tuple) else (one,)) for one in tops)))


@hinted
def test_a_hint_is_written_as_it_was_read(type_: str, parameters: str, hints: str) -> None:
    net = parse(text(type_, parameters, hints))
    assert parse(text_of(net)) == net
    plain = parse(text(type_, parameters))
    assert parse(text_of(net, hints=False)) == plain != net


def test_how_a_fork_keeps_the_whole_net_in_memory_is_read() -> None:
    stated = 'mem_param { optimize_train: true optimize_test: false exclude_blob: "z" } '
    assert parse(stated + text("ReLU", "")) == parse(text("ReLU", ""))


def test_every_hint_is_tried() -> None:
    stated = " ".join(hints for *_, hints in HINTED)
    own = {name for kind in records() for name, wire in kind.wires() if wire.hint}
    own |= {name for name, _ in (*LayerHints.wires(), *Quantization.wires())}
    assert not {name for name in own if f"{name}:" not in stated and f"{name} {{" not in stated}


# The enumerations of BVLC's own schema

TABLE = Path(__file__).parents[1] / "data" / "bvlc.tsv"


def bvlc_members() -> dict[tuple[str, str], set[str]]:
    """Return the members that BVLC's enumerations have, by message and field."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {
        (row["message"], row["field"]): {one.split("=")[0] for one in row["enum_values"].split(",")}
        for row in rows
        if row["enum_values"] and row["message"] != "<enum>"
    }


def enumerations() -> Iterator[tuple[type[Message], str, type[IntEnum]]]:
    """Return the fields of BVLC's layers that are enumerations."""
    roots = [LayerParameter, *(kind for kind in records() if BVLC in kind.dialects)]
    for message in _reachable(roots):
        for name, wire in message.wires():
            if is_enum(wire.type) and wire.number:
                yield message, name, wire.type


def test_members_that_only_forks_have_are_named_so() -> None:
    known, wrong, seen = bvlc_members(), {}, set()
    for message, name, numbers in enumerations():
        theirs = known.get((message.message, name))
        if theirs is None:
            continue  # the whole field is of forks
        seen.add((message.message, name))
        forked = {one.name for one in numbers if isinstance(one, Choice) and one.is_forked}
        ours = {one.name for one in numbers} - forked
        if not ours <= theirs | engines(numbers):
            wrong[message.message, name] = ours ^ theirs
        assert not forked & theirs
    assert not wrong and len(seen) > 15


def engines(numbers: type[IntEnum]) -> set[str]:
    """BVLC's engines: a layer that cuDNN does not have does not list its name."""
    return {"DEFAULT", "CAFFE", "CUDNN"} if numbers.__name__ == "Engine" else set()
