"""The Python layers that are known by name, against their projects' own numpy code in short."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

import caffe2fx
from caffe2fx.errors import CaffeError
from caffe2fx.files.prototxt import parse, text_of
from caffe2fx.layers import Python, PythonData
from caffe2fx.layers.proposal import anchors
from caffe2fx.module.builder import graph_module

Array = npt.NDArray[np.float32]

# The output of generate_anchors.py of py-faster-rcnn for its defaults.
DEFAULT_ANCHORS = [
    [-84, -40, 99, 55], [-176, -88, 191, 103], [-360, -184, 375, 199],
    [-56, -56, 71, 71], [-120, -120, 135, 135], [-248, -248, 263, 263],
    [-36, -80, 51, 95], [-80, -168, 95, 183], [-168, -344, 183, 359],
]  # fmt: skip


def text(param_str: str, tops: int = 1, anchors: int = 9) -> str:
    """Return a net of one proposal layer."""
    named = " ".join(f'top: "top{index}"' for index in range(tops))
    return f"""
        input: "scores" input_shape {{ dim: [1, {2 * anchors}, 6, 9] }}
        input: "moves" input_shape {{ dim: [1, {4 * anchors}, 6, 9] }}
        input: "im_info" input_shape {{ dim: [1, 3] }}
        layer {{ name: "p" type: "Python" bottom: "scores" bottom: "moves" bottom: "im_info" {named}
          python_param {{ module: "rpn.proposal_layer" layer: "ProposalLayer"
            param_str: "{param_str}" }} }}"""


def test_anchors_are_those_of_the_project() -> None:
    assert anchors(16, (0.5, 1, 2), (8, 16, 32)).tolist() == DEFAULT_ANCHORS


def proposed(scores: Array, moves: Array, info: Array) -> Array:
    """Compute regions and scores box by box."""
    found = []
    for (row, column, index), score in np.ndenumerate(scores[0, 9:].transpose(1, 2, 0)):
        place = np.array([column, row] * 2) * 16
        left, top, right, bottom = np.array(DEFAULT_ANCHORS[index]) + place
        dx, dy, dw, dh = moves[0, 4 * index : 4 * index + 4, row, column]
        wide, high = right - left + 1, bottom - top + 1
        x, y = left + wide / 2 + dx * wide, top + high / 2 + dy * high
        wide, high = np.exp(dw) * wide, np.exp(dh) * high
        box = [x - wide / 2, y - high / 2, x + wide / 2, y + high / 2]
        box = [min(max(side, 0), info[0, 1 - i % 2] - 1) for i, side in enumerate(box)]
        if min(box[2] - box[0], box[3] - box[1]) + 1 >= 16 * info[0, 2]:
            found.append((float(score), box))
    kept: list[tuple[float, list[float]]] = []
    for score, box in sorted(found, key=lambda pair: -pair[0]):
        if all(overlap(box, other) <= 0.7 for _, other in kept):
            kept.append((score, box))
    return np.array([[*box, score] for score, box in kept[:300]], np.float32)


def overlap(one: list[float], two: list[float]) -> float:
    """Return intersection over union of boxes that end with their last pixel."""
    sides = [min(one[i + 2], two[i + 2]) - max(one[i], two[i]) + 1 for i in (0, 1)]
    shared = max(sides[0], 0) * max(sides[1], 0)
    first, second = ((box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (one, two))
    return shared / (first + second - shared)


def test_proposal_layer() -> None:
    scores, moves = torch.rand(1, 18, 6, 9), torch.randn(1, 36, 6, 9) / 4
    info = torch.tensor([[96.0, 144.0, 1.5]])
    regions, chances = graph_module(parse(text("'feat_stride': 16", tops=2)))(scores, moves, info)
    wanted = proposed(scores.numpy(), moves.numpy(), info.numpy())
    assert len(wanted) > 20 and regions[:, 0].abs().max() == 0
    found = torch.cat([regions[:, 1:], chances], 1).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    "param_str",
    ["{'feat_stride': 8, 'scales': [4, 8]}", "'feat_stride': 8 \\n'scales': !!python/tuple [4, 8]"],
)
def test_param_str_is_read_as_yaml(param_str: str) -> None:
    net = graph_module(parse(text(param_str, anchors=6)))
    given = torch.rand(1, 12, 6, 9), torch.zeros(1, 24, 6, 9), torch.tensor([[40.0, 60.0, 1.0]])
    assert net(*given).shape[1] == 5


@pytest.mark.parametrize("param_str", ["", "{'feat_stride': 8, 'base_size': 8}"])
def test_fields_that_the_project_does_not_know_are_refused(param_str: str) -> None:
    with pytest.raises(CaffeError, match="needs feat_stride, and scales and ratios or neither"):
        graph_module(parse(text(param_str)))


def test_other_python_layers_are_listed_as_unknown() -> None:
    with pytest.raises(CaffeError, match=r"'p': 'Python: rpn.proposal_layer.Other'"):
        parse(text("").replace('"ProposalLayer"', '"Other"'))


TRAINED = """
layer { name: "read" type: "Python" top: "data" top: "im_info" top: "gt_boxes"
  python_param { module: "roi_data_layer.layer" layer: "RoIDataLayer"
    param_str: "'num_classes': 21" } }
layer { name: "scores" type: "Convolution" bottom: "data" top: "scores"
  convolution_param { num_output: 24 kernel_size: 1 } }
layer { name: "anchors" type: "Python"
  bottom: "scores" bottom: "gt_boxes" bottom: "im_info" bottom: "data"
  top: "a" top: "b" top: "c" top: "d"
  python_param { layer: "AnchorTargetLayer"
    param_str: "'feat_stride': 16 'scales': [4, 8, 16, 32]" } }
layer { name: "rois" type: "DummyData" top: "rois"
  dummy_data_param { shape { dim: [1, 5] } } }
layer { name: "targets" type: "Python" bottom: "rois" bottom: "gt_boxes"
  top: "e" top: "f" top: "g" top: "h" top: "i"
  python_param { layer: "ProposalTargetLayer" param_str: "'num_classes': 21" } }
"""
SHAPES = {"data": (1, 3, 6, 9), "im_info": (1, 3), "gt_boxes": (2, 5)}


def test_layers_that_only_training_needs_have_shapes(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(TRAINED)
    net = caffe2fx.load(path, shapes=SHAPES)
    shapes = {str(value): shape for value, shape in net.caffe.net.shapes().items()}
    assert shapes["a"] == (1, 1, 72, 9) and shapes["b"] == shapes["d"] == (1, 48, 6, 9)
    assert shapes["e"] == (1, 5, 1, 1) and shapes["g"] == (1, 84, 1, 1)
    with pytest.raises(CaffeError, match="'AnchorTargetLayer' is known by its shapes only"):
        net(*map(torch.zeros, SHAPES.values()))


def test_the_caller_states_the_shapes_of_a_python_layer_that_reads_data(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(TRAINED)
    net = caffe2fx.load(path, shapes=SHAPES, outputs=["scores"])
    assert net.caffe.inputs == tuple(SHAPES)
    with pytest.raises(CaffeError, match=r"'read' \(Python\) needs the shape of its top 0"):
        caffe2fx.load(path)


def test_a_user_may_state_the_shapes_of_a_python_layers_data() -> None:
    caffe2fx.register("Python", layer="RoIDataLayer")(
        lambda parameters, bottoms, blobs: lambda: (torch.zeros(1, 3, 6, 9),) * 3
    )
    try:
        step = parse(TRAINED).steps[0]
        assert isinstance(step.layer, Python) and not parse(TRAINED).inputs
    finally:
        caffe2fx.unregister("Python", layer="RoIDataLayer")
    assert isinstance(parse(TRAINED).steps[0].layer, PythonData)
    assert parse(text_of(parse(TRAINED))) == parse(TRAINED)


@pytest.mark.parametrize(
    ("stated", "count"),
    [
        ("{'feat_stride': 16, 'ratios': [0.5, 1, 2], 'scales': [8, 16, 32]}", 9),
        ("{'feat_stride': 16, 'ratios': [0.333, 0.5, 0.667, 1, 1.5, 2, 3], 'scales': [2, 3]}", 14),
    ],
)
def test_ratios_are_those_that_the_text_names(stated: str, count: int) -> None:
    net = parse(text(stated, anchors=count))
    assert net.shapes()[net.outputs[0]] == (1, 5)
    with pytest.raises(CaffeError, match=f"{2 * count}"):
        graph_module(parse(text(stated, anchors=count + 1)))(
            torch.zeros(1, 2 * count + 2, 6, 9),
            torch.zeros(1, 4 * count + 4, 6, 9),
            torch.ones(1, 3),
        )


@pytest.mark.parametrize(
    "source",
    [
        'type: "Python" python_param { module: "voc_layers" layer: "VOCSegDataLayer" }',
        'type: "MyReader" my_reader_param { source: "x" nested { size: 1 } } transform_param { }',
        'type: "MyReader" include { phase: TEST }',
    ],
)
def test_a_layer_of_any_type_without_bottoms_reads_data(tmp_path: Path, source: str) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(
        f'layer {{ name: "read" top: "data" top: "label" {source} }}\n'
        'layer { name: "r" type: "ReLU" bottom: "data" top: "r" }'
    )
    net = caffe2fx.load(path, shapes={"data": (1, 3), "label": (1,)})
    assert net.caffe.inputs == ("data", "label")
    read = parse(path.read_text())
    assert parse(text_of(read)) == pickle.loads(pickle.dumps(read)) == read
    with pytest.raises(CaffeError, match=r"'read' .* needs the shape of its top 0"):
        caffe2fx.load(path)


@pytest.mark.parametrize("wires", ['bottom: "data" top: "y"', 'bottom: "data"', ""])
def test_layers_that_compute_are_unknown_all_the_same(wires: str) -> None:
    data = 'layer { name: "d" type: "Mine" top: "data" mine_param { a: 1 } }\n'
    with pytest.raises(CaffeError, match="'x': 'Mine'"):
        parse(f'{data}layer {{ name: "x" type: "Mine" {wires} }}')
