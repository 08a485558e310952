"""Blobs that are one memory in Caffe: its result where it has one, a refusal where it is chance."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import caffe2fx
from caffe2fx.engines.pycaffe import Worker
from caffe2fx.errors import CaffeError, EngineError
from caffe2fx.files.prototxt import parse, text_of
from tests.files.caffes_own import forward_twice
from tests.net.memory_nets import GIVEN, HEAD, layer, net, over, reader


def sharing(name: str, top: str, fields: str) -> str:
    more = f'inner_product_param {{ bias_term: false {fields} }} param {{ name: "w" }}'
    return layer("InnerProduct", "x", top, more, name)


PRODUCT = "eltwise_param { operation: PROD }"
MAXIMUM = "eltwise_param { operation: MAX }"
NAMESAKE = reader("x", "one")
FLATTEN = layer("Flatten", "x", "a")
SHARED = {
    "flatten": FLATTEN + over("a") + reader("x"),
    "reshape": layer("Reshape", "x", "a", "reshape_param { shape { dim: 1 dim: -1 } }")
    + over("a")
    + reader("x"),
    "concat of one": layer("Concat", "x", "a") + over("a") + reader("x"),
    "slice into one": layer("Slice", "x", "a") + over("a") + reader("x"),
    "split": layer("Split", "x", "a b") + over("a") + reader("b"),
    "split, output": layer("Split", "x", "a b") + over("a"),
    "split, both overwritten": layer("Split", "x", "a b")
    + over("a")
    + over("b", "twice", "Power", "power_param { scale: 3 shift: 2 }")
    + reader("a"),
    "split, both overwritten, both outputs": layer("Split", "x", "a b")
    + over("a")
    + over("b", "twice", "Power", "power_param { scale: 3 shift: 2 }"),
    "overwritten before, and an output": FLATTEN
    + layer("Reshape", "x", "b", "reshape_param { shape { dim: -1 } }")
    + over("b", "before")
    + over("a", "behind", "Power", "power_param { scale: 3 shift: 2 }"),
    "split of three": layer("Split", "x", "a b c")
    + over("b")
    + reader("a", "p")
    + reader("c", "q"),
    "chain": FLATTEN
    + layer("Reshape", "a", "b", "reshape_param { shape { dim: 0 dim: 2 dim: 8 } }")
    + over("b")
    + reader("a", "p")
    + reader("x", "q"),
    "overwritten twice": FLATTEN
    + over("a")
    + reader("x", "between")
    + over("a", "again", "Power", "power_param { shift: -0.5 }")
    + reader("x"),
    "read before and behind": FLATTEN + reader("x", "before") + over("a") + reader("x"),
    "the bottom of a later flatten": FLATTEN + over("a") + layer("Flatten", "x", "b") + reader("b"),
    "weights of the overwriting layer": FLATTEN
    + over("a", "over", "PReLU", "prelu_param { filler { value: -3 } }")
    + reader("x"),
    "a copy in between": layer("Concat", "x x", "c")
    + layer("Flatten", "c", "a")
    + over("a")
    + reader("x"),
    "an input": layer("Flatten", "data", "a") + over("a") + reader("data"),
    "in place without a change": over("x", "slice", "Slice") + over("x", "concat", "Concat"),
    "product in place": reader("data", "d") + layer("Eltwise", "x d", "x", PRODUCT, "over"),
    "product of one memory in place": layer("Split", "x", "a b")
    + layer("Eltwise", "a b", "a", PRODUCT, "over"),
    "product of one memory and another in place": reader("data", "d")
    + layer("Split", "x", "a b c")
    + layer("Eltwise", "a b d", "a", PRODUCT, "over")
    + reader("c"),
}


@pytest.mark.pycaffe
@pytest.mark.parametrize("text", SHARED.values(), ids=SHARED)
def test_memory_is_shared_as_in_real_caffe(tmp_path: Path, text: str) -> None:
    path = net(tmp_path, text)
    loaded = caffe2fx.load(path)
    results, names = loaded(*GIVEN.values()), loaded.caffe.outputs
    mine = dict(zip(names, [results] if len(names) == 1 else results, strict=True))
    turns, _ = forward_twice(path, GIVEN)
    for theirs in turns:
        assert mine.keys() == theirs.keys()
        for name, value in theirs.items():
            torch.testing.assert_close(mine[name], value, msg=name)
    caffe2fx.save_weights(loaded, tmp_path / "net.caffemodel")
    files = path, tmp_path / "net.caffemodel"
    report = caffe2fx.compare(loaded, files, GIVEN["data"], engine="pycaffe")
    assert report.ok, report.first_divergence


@pytest.mark.pycaffe
def test_the_first_layer_fills_a_shared_blob_also_among_layers_of_one_name(tmp_path: Path) -> None:
    owner = sharing("two", "b", "num_output: 2 weight_filler { value: 2 }")
    other = sharing("one", "c", "num_output: 2 weight_filler { value: 3 }")
    path = net(tmp_path, NAMESAKE + owner + other)
    (theirs, _), _ = forward_twice(path, GIVEN)
    mine = caffe2fx.load(path).caffe.blobs(GIVEN["data"])
    assert all(torch.equal(mine[name], value) for name, value in theirs.items())


@pytest.mark.parametrize("text", SHARED.values(), ids=SHARED)
def test_is_written_as_it_was_read(text: str) -> None:
    read = parse(HEAD + text)
    assert parse(text_of(read)) == read
    assert text_of(read).count("layer {") == (HEAD + text).count("layer {")


def index(value: int) -> str:
    filler = f"data_filler {{ value: {value} }} shape {{ dim: 1 }}"
    return layer("DummyData", "", "i", f"dummy_data_param {{ {filler} }}")


# Nets on which Caffe stops, with our error.
STOPS = {
    **{
        f"{type_} in place": (over("x", "over", type_, more), "needs a top of its own, got")
        for type_, more in {
            "AbsVal": "",
            "Flatten": "",
            "Split": "",
            "Reshape": "reshape_param { shape { dim: 0 dim: -1 } }",
        }.items()
    },
    "SoftmaxWithLoss in place": (
        layer("DummyData", "", "t", "dummy_data_param { shape { dim: 1 dim: 2 dim: 2 } }")
        + layer("SoftmaxWithLoss", "x t", "x"),
        "needs a top of its own",
    ),
    "concat of several ranks": (
        index(0) + layer("Flatten", "x", "f") + layer("Concat", "f i", "c"),
        "needs shapes equal but for axis 1",
    ),
    "slice twice along": (
        layer("Slice", "x", "a b", "slice_param { axis: 1 slice_dim: 1 }"),
        "needs axis or slice_dim, got both",
    ),
    "concat twice along": (
        layer("Concat", "x data", "a", "concat_param { axis: 1 concat_dim: 1 }"),
        "needs axis or concat_dim, got both",
    ),
    "two loss_weights": (
        layer("ReLU", "x", "a", "loss_weight: 1 loss_weight: 2"),
        "needs one loss_weight a top, got 2 for 1",
    ),
    "one blob of two shapes, of layers of one name": (
        NAMESAKE + sharing("two", "b", "num_output: 4") + sharing("one", "c", "num_output: 2"),
        r"shares 'w' and needs its shape \(4, 16\), got \(2, 16\)",
    ),
    "a weighted top that is overwritten": (
        layer("ReLU", "x", "a", "loss_weight: 1") + over("a"),
        "needs loss_weight on tops that no layer reads, got 'a'",
    ),
    **{
        f"{operation} over its second bottom": (
            layer("Eltwise", "data x", "x", f"eltwise_param {{ operation: {operation} }}", "over"),
            "needs top 0 to be a blob of its own or bottom 0, got 'x', which is bottom 1",
        )
        for operation in ("SUM", "PROD", "MAX")
    },
    **{
        f"one blob, two of {name}": (
            "".join(
                layer("InnerProduct", "x", top, f'param {{ name: "w" {name}: {value} }} {TWO}')
                for top, value in (("a", 1), ("b", 2))
            ),
            f"shares 'w' and needs its {name} 1, got 2",
        )
        for name in ("lr_mult", "decay_mult")
        for TWO in ["inner_product_param { num_output: 2 bias_term: false }"]
    },
}


@pytest.mark.parametrize(("text", "reason"), STOPS.values(), ids=STOPS)
def test_nets_on_which_caffe_stops_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    at = r"net\.prototxt:"
    with pytest.raises(CaffeError, match=rf"{reason}.*{at}|{at}.*{reason}"):
        caffe2fx.load(net(tmp_path, text))


@pytest.mark.pycaffe
@pytest.mark.parametrize("case", STOPS)
def test_real_caffe_stops(tmp_path: Path, case: str) -> None:
    with Worker() as worker, pytest.raises(EngineError, match=r"Check failed|produced by multiple"):
        path = net(tmp_path, STOPS[case][0])
        worker.ask("load", prototxt=str(path), weights="", phase="TEST")


ONE = "dummy_data_param { data_filler { value: 1 } shape { dim: 2 } }"
# Values that Caffe computes by chance: the net, the net that is meant, and our error.
CHANCE = {
    "convolution": (
        over("x", "over", "Convolution", "convolution_param { num_output: 4 kernel_size: 1 "
             "weight_filler { value: 1 } }"),
        "needs a top of its own",
    ),
    "sum": (layer("Eltwise", "x data", "x", "", "over"), "needs a top of its own"),
    "maximum": (
        layer("Eltwise", "x data", "x", MAXIMUM, "over"),
        "needs a top of its own",
    ),
    "LRN": (over("x", "over", "LRN"), "needs a top of its own"),
    "pooling": (
        over("x", "over", "Pooling", "pooling_param { kernel_size: 1 }"), "needs a top of its own"
    ),
    "tile": (
        over("x", "over", "Tile", "tile_param { tiles: 2 axis: 2 }"), "needs a top of its own"
    ),
}  # fmt: skip


@pytest.mark.pycaffe
@pytest.mark.parametrize("case", CHANCE)
def test_nets_that_caffe_computes_by_chance_are_refused(tmp_path: Path, case: str) -> None:
    text, reason = CHANCE[case]
    meant = text.replace('top: "x"', 'top: "meant"')
    with pytest.raises(CaffeError, match=rf"{reason}.*net\.prototxt:"):
        caffe2fx.load(net(tmp_path, text))
    turns, _ = forward_twice(net(tmp_path, text), GIVEN)
    wanted = caffe2fx.load(net(tmp_path, meant)).caffe.blobs(GIVEN["data"])["meant"]
    assert not torch.equal(turns[1]["x"].flatten(), wanted.flatten())


ONE_MEMORY = {
    "sum": ("a b", ""),
    "maximum": ("a b", MAXIMUM),
    "third factor": ("a d b", PRODUCT),
}


@pytest.mark.pycaffe
@pytest.mark.parametrize(("bottoms", "more"), ONE_MEMORY.values(), ids=ONE_MEMORY)
def test_other_bottoms_of_the_overwritten_memory_are_refused(
    tmp_path: Path, bottoms: str, more: str
) -> None:
    text = reader("data", "d") + layer("Split", "x", "a b")
    path = net(tmp_path, text + layer("Eltwise", bottoms, "a", more, "over"))
    with pytest.raises(CaffeError, match="of other memory than it overwrites, got 'b', which"):
        caffe2fx.load(path)
    turns, _ = forward_twice(path, GIVEN)
    meant = net(tmp_path, text + layer("Eltwise", bottoms, "meant", more))
    wanted = caffe2fx.load(meant).caffe.blobs(GIVEN["data"])["meant"]
    assert not torch.equal(turns[1]["a"].flatten(), wanted.flatten())


ONCE = {
    "constant data": layer("DummyData", "", "c", ONE)
    + over("c", "over", "Power", "power_param { scale: 3 }"),
    "constant data behind a flatten": layer("DummyData", "", "c", ONE)
    + layer("Flatten", "c", "a", "flatten_param { axis: 0 }")
    + over("a", "over", "Power", "power_param { scale: 3 }"),
    "one constant of two tops": layer(
        "DummyData",
        "",
        "c d",
        'dummy_data_param { data_filler { value: 1 } data_filler { type: "uniform" } '
        "shape { dim: 2 } }",
    )
    + layer("Silence", "d", "", name="unread")
    + over("c", "over", "Power", "power_param { scale: 3 }"),
    "a parameter": layer("Parameter", "", "c", "parameter_param { shape { dim: 2 } }")
    + over("c", "over", "Power", "power_param { shift: 3 }"),
}


@pytest.mark.pycaffe
@pytest.mark.parametrize("text", ONCE.values(), ids=ONCE)
def test_blobs_that_caffe_fills_once_are_not_overwritten(tmp_path: Path, text: str) -> None:
    with pytest.raises(CaffeError, match="would overwrite 'c', which Caffe fills once"):
        caffe2fx.load(net(tmp_path, text))
    (one, two), _ = forward_twice(net(tmp_path, text), GIVEN)
    assert any(not torch.equal(one[name], two[name]) for name in one)


ROWS = {
    "reindex": layer("BatchReindex", "x i", "out"),
    "embed": layer("Embed", "i", "out", "embed_param { num_output: 2 input_dim: 1 }"),
}


@pytest.mark.parametrize("value", [-1, 1])
@pytest.mark.parametrize("text", ROWS.values(), ids=ROWS)
def test_rows_that_are_not_there(tmp_path: Path, text: str, value: int) -> None:
    path = net(tmp_path, index(value) + text)
    with pytest.raises(CaffeError, match=f"needs rows from 0 to 0, got {value}"):
        caffe2fx.load(path)(GIVEN["data"])


@pytest.mark.pycaffe
@pytest.mark.parametrize("value", [-1, 1])
def test_real_caffe_stops_on_such_rows(tmp_path: Path, value: int) -> None:
    path = net(tmp_path, index(value) + ROWS["reindex"])
    with Worker() as worker, pytest.raises(EngineError, match="Index specified for reindex"):
        worker.ask("load", prototxt=str(path), weights="", phase="TEST")
        worker.ask("run", blobs=[], start=0, end=3, wanted=[])
